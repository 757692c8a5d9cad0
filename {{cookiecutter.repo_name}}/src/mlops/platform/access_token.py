"""Print an access token of Google's, for `make login`, in exchange for the ID token of a CI job: no key is involved.

    python -m mlops.platform.access_token | make login

Workload identity federation: Google's Security Token Service takes the ID token of a provider that it was told to trust
(GCP_WORKLOAD_IDENTITY_PROVIDER), and lets it act as a service account (GCP_SERVICE_ACCOUNT), for an hour.
On GitHub google-github-actions/auth does this.
"""

import os

import click
from google.auth import exceptions, identity_pool
from google.auth.transport.requests import Request

from ..errors import UserError
from . import user_errors

VARIABLES = ("GCP_WORKLOAD_IDENTITY_PROVIDER", "GCP_SERVICE_ACCOUNT", "GOOGLE_ID_TOKEN")


class IdToken(identity_pool.SubjectTokenSupplier):
    """The job's own ID token."""

    def get_subject_token(self, context, request) -> str:
        return os.environ["GOOGLE_ID_TOKEN"]


def access_token(
    tokens: str = "https://sts.googleapis.com", accounts: str = "https://iamcredentials.googleapis.com"
) -> str:
    """Return an access token of the service account.

    Raises:
        UserError: a variable is missing, or Google refuses the exchange.
    """
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise UserError(f"Set {', '.join(missing)}; see the guide, Check and deliver with CI.")
    provider, account = os.environ["GCP_WORKLOAD_IDENTITY_PROVIDER"], os.environ["GCP_SERVICE_ACCOUNT"]
    credentials = identity_pool.Credentials(
        audience=f"//iam.googleapis.com/{provider}",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{tokens}/v1/token",
        subject_token_supplier=IdToken(),
        service_account_impersonation_url=f"{accounts}/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
        scopes=["https://www.googleapis.com/auth/cloud-platform"],
    )
    try:
        credentials.refresh(Request())
    except exceptions.GoogleAuthError as error:
        advice = f"Does the provider trust this repository and branch, and may they act as {account}?"
        raise UserError(f"Google gave no access token: {error}. {advice}") from None
    return str(credentials.token)


@click.command()
@user_errors()
def main() -> None:
    """Print an access token."""
    click.echo(access_token())


if __name__ == "__main__":
    main(prog_name="access_token")
