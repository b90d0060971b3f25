"""The identity that requests are made as if no key is set: what azure-identity is for here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential

from sidecar.plugin import SourceError, StartError
from sidecar.plugin.remote import Token
from sidecar_azure.settings import AzureSettings

_SCOPE: Final = "https://storage.azure.com/.default"
"""Of blob storage in every cloud ("Authorize with Microsoft Entra ID")."""
_LONGEST_TEXT: Final = 500


def fetcher(settings: AzureSettings) -> Callable[[], Token]:
    """Return what asks for a token: of the AZURE variables' identity, the workload's, or the machine's.

    Not of somebody signed in with a tool: those are programs to be started, which a worker must not. Raises StartError.
    """
    try:
        credential = DefaultAzureCredential(
            exclude_broker_credential=True,
            exclude_cli_credential=True,
            exclude_developer_cli_credential=True,
            exclude_powershell_credential=True,
            exclude_shared_token_cache_credential=True,
            exclude_visual_studio_code_credential=True,
            connection_timeout=settings.connect_timeout,
            read_timeout=settings.stall_timeout,
        )
    except (AzureError, OSError, ValueError) as error:  # the latter two of a certificate that cannot be read
        raise StartError(f"SIDECAR_AZURE: {_text(error)}") from error

    def fetch() -> Token:
        try:
            found = credential.get_token(_SCOPE)
        except AzureError as error:  # that of the chain, whatever has failed within; it has made several attempts
            raise SourceError(f"azure: no token: {_text(error)}") from error
        return Token(found.token, float(found.expires_on))

    return fetch


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:_LONGEST_TEXT]
