"""Files in forms: pictures that browsers without a script send. Weights travel as raw bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

from previews.sample_files.limits import MAX_FILM_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_FORM_BYTES", "Bounded"]

#: A few videos, or a dozen pictures.
MAX_FORM_BYTES = 4 * MAX_FILM_BYTES


class Bounded(FileUploadHandler):
    """Refuses forms that announce too much, before anything of them is written.

    Django reads a form, with its files, before it knows which page it is for or who sends it.
    """

    def handle_raw_input(
        self,
        input_data: Any,  # noqa: ANN401 - a WSGI stream
        META: Mapping[str, str],  # noqa: N803 - Django's name
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        """Look at the announced length.

        Raises:
            RequestDataTooBig: there is more than a page takes.
        """
        if content_length > MAX_FORM_BYTES:
            raise RequestDataTooBig

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Leave the bytes to the handlers behind."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the handlers behind."""
