"""Copying a model to a bucket of Google Cloud Storage."""

from pathlib import Path

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from requests.exceptions import RequestException

from .errors import UserError

TIMEOUT = 60  # seconds without an answer
REMEDY = "Set GOOGLE_APPLICATION_CREDENTIALS to the account's key file, or type: gcloud auth application-default login"


class Bucket:
    """A bucket to copy files to. Making one needs credentials: a UserError comes before the work, not after it."""

    def __init__(self, name: str) -> None:
        self.name = name.removeprefix("gs://").rstrip("/")
        try:
            self._bucket = storage.Client().bucket(self.name)
        except (GoogleAuthError, OSError, ValueError) as error:  # none; no such file; a file that is no key
            raise UserError(f"No Google Cloud credentials for gs://{self.name}: {error}. {REMEDY}") from None

    def upload(self, file: Path, target: str) -> str:
        """Copy a file to `target` in the bucket; return its address, gs://BUCKET/TARGET. UserError where it cannot."""
        address = f"gs://{self.name}/{target}"
        try:
            self._bucket.blob(target).upload_from_filename(file, timeout=TIMEOUT, checksum="crc32c")
        except NotFound:
            raise UserError(f"{address} was not written: there is no bucket {self.name}.") from None
        except Forbidden as error:
            raise UserError(f"{address} was not written: these credentials may not. {error.message}") from None
        except (GoogleAuthError, GoogleAPIError, RequestException) as error:
            raise UserError(f"{address} was not written: {error}. {REMEDY}") from None
        return address
