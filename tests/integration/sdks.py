"""The vendors' Python SDKs as clients of a proxy."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase


def anthropic_client(test: SynchronousTestCase, url: str, retries: int = 0) -> Any:
    """``anthropic.Anthropic``.

    :raises SkipTest: where the package is not installed.
    """
    try:
        import anthropic
    except ImportError as error:
        raise SkipTest("the anthropic package is not installed") from error
    made = anthropic.Anthropic(base_url=url, api_key="sk-mine", max_retries=retries)
    test.addCleanup(made.close)
    return made


def openai_client(test: SynchronousTestCase, url: str, retries: int = 0) -> Any:
    """``openai.OpenAI``.

    :raises SkipTest: where the package is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise SkipTest("the openai package is not installed") from error
    made = openai.OpenAI(base_url=url + "/v1", api_key="sk-mine", max_retries=retries)
    test.addCleanup(made.close)
    return made
