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
    """A bucket to copy files to. Making one looks for credentials, so that it fails before the work and not after it.

    Raises:
        UserError: there are no credentials that Google's library could use.
    """

    def __init__(self, name: str) -> None:
        self.name = name.removeprefix("gs://").rstrip("/")
        try:
            self._bucket = storage.Client().bucket(self.name)
        except (GoogleAuthError, OSError, ValueError) as error:  # none; no such file; a file that is no key
            raise UserError(f"No Google Cloud credentials for gs://{self.name}: {error}. {REMEDY}") from None

    def upload(self, file: Path, target: str) -> str:
        """Copy a file to `target` in the bucket; gives its address, gs://BUCKET/TARGET.

        Raises:
            UserError: there is no such bucket, it may not be written, or Google Cloud does not answer.
        """
        address = f"gs://{self.name}/{target}"
        try:
            self._bucket.blob(target).upload_from_filename(file, timeout=TIMEOUT, checksum="crc32c")
        except NotFound:
            raise UserError(f"{address} was not written: there is no bucket {self.name}.") from None
        except Forbidden as error:
            raise UserError(f"{address} was not written: these credentials may not. {error.message}") from None
        except GoogleAuthError as error:
            raise UserError(f"{address} was not written: {error}. {REMEDY}") from None
        except (GoogleAPIError, RequestException) as error:
            raise UserError(f"{address} was not written: {error}") from None
        return address
