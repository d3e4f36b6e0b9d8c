"""Images that go to an agent, and attachments that do not."""

from __future__ import annotations

from base64 import b64decode

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    RemoteUrl,
    TextPart,
    ToolResultPart,
)
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from tests.upstream.openclaw.calling import PIXEL, turn
from tests.upstream.openclaw.planning import errand, message


class Images(SynchronousTestCase):
    """Pictures go as attachments."""

    def test_image(self) -> None:
        planned = errand(turn("look", image=True))
        (attachment,) = planned.attachments
        self.assertEqual(
            attachment.params(),
            {
                "type": "image",
                "mimeType": "image/png",
                "fileName": "image-1.png",
                "content": PIXEL,
            },
        )
        self.assertEqual(attachment.size, len(b64decode(PIXEL)))
        self.assertNotIn(PIXEL, repr(planned))

    def test_image_alone(self) -> None:
        asked = message(ImagePart(InlineData("image/jpeg", PIXEL)))
        self.assertEqual(errand(asked).message, "(image attached)")

    def test_images_of_the_past(self) -> None:
        first = Message("user", (TextPart("a"), ImagePart(InlineData("image/png", PIXEL))))
        asked = Turn(
            dialect="openai_chat",
            model="m",
            messages=(first, Message("assistant", (TextPart("b"),)), first),
        )
        self.assertEqual(len(errand(asked).attachments), 1)
        self.assertEqual(len(errand(asked, passthrough=True).attachments), 2)

    def test_images_of_tools(self) -> None:
        """What a tool gave back goes like what the user sent."""
        shot = ImagePart(InlineData("image/png", PIXEL))
        planned = errand(message(ToolResultPart("call-1", (shot,)), TextPart("what is there?")))
        self.assertEqual([a.content for a in planned.attachments], [PIXEL])
        self.assertEqual(planned.message, "[a tool answered: (image attached)]\nwhat is there?")

    def test_refused(self) -> None:
        for part in (
            ImagePart(RemoteUrl("https://x.test/a.png"), where="messages[0].content[1]"),
            ImagePart(InlineData("application/pdf", "eA=="), where="messages[0].content[1]"),
            FilePart(InlineData("application/pdf", "eA=="), where="messages[0].content[1]"),
        ):
            for holder in (part, ToolResultPart("call-1", (part,))):
                asked = message(TextPart("look"), holder)
                error = self.assertRaises(ProxyError, errand, asked)
                self.assertIs(error.kind, Kind.UNSUPPORTED_PARAMETER)
                self.assertEqual(error.param, "messages[0].content[1]")
