"""The frames of a Responses stream to a caller, numbered as they go out."""

from __future__ import annotations

from clawproxy.core.dialects.openai_responses_output import Json, ResponseObject
from clawproxy.core.dialects.rawjson import encode, quote


class Frames:
    """Write frames; all of a stream share its ``sequence_number`` and its output.

    :ivar response: the answer as far as it has come.
    """

    __slots__ = ("_sequence", "response")

    def __init__(self, response: ResponseObject) -> None:
        self.response = response
        self._sequence = 0

    @property
    def index(self) -> int:
        """The place of the open item in the output."""
        return len(self.response.items)

    def frame(self, event: str, data: Json) -> bytes:
        """Write a frame of any kind."""
        head = {"type": event, "sequence_number": self._sequence}
        self._sequence += 1
        return b"event: " + event.encode() + b"\ndata: " + encode(head | data) + b"\n\n"

    def delta(self, event: bytes, item_id: str, place: bytes, text: str) -> bytes:
        """Write a delta's frame; the one kind that comes for every token.

        :param place: further members that tell where in the item, each with a comma behind it.
        """
        sequence = self._sequence
        self._sequence += 1
        return (
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,"item_id":"%b",'
            b'"output_index":%d,%b"delta":%b}\n\n'
            % (
                event,
                event,
                sequence,
                item_id.encode(),
                len(self.response.items),
                place,
                quote(text),
            )
        )

    def added(self, item: Json) -> bytes:
        """Announce the open item."""
        return self.frame("response.output_item.added", {"output_index": self.index, "item": item})

    def done(self, item: Json) -> bytes:
        """End the open item: it is output now."""
        frame = self.frame("response.output_item.done", {"output_index": self.index, "item": item})
        self.response.items.append(item)
        return frame
