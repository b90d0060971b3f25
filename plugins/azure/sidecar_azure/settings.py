"""The table `azure`."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field as Setting
from pydantic import SecretStr, field_validator, model_validator

from sidecar.plugin import BucketSettings, FromCantaloupe, Names

_LONGEST_NAME: Final = 1024
"""Characters of a blob's name ("Naming and Referencing Containers, Blobs, and Metadata")."""


class AzureSettings(BucketSettings):
    """Which containers, of which account, with which credentials."""

    table: ClassVar[str] = "azure"
    cantaloupe_source: ClassVar[str] = "AzureStorageSource"
    scheme: ClassVar[str] = "azure://"
    bucket_fields: ClassVar[tuple[str, str]] = ("container", "containers")

    account: Annotated[str, FromCantaloupe("AzureStorageSource.account_name", "nonempty")] = Setting(
        "", pattern="^([a-z0-9]{3,24})?$"
    )
    """The storage account, as `AzureStorageSource.account_name`."""
    container: Annotated[str, FromCantaloupe("AzureStorageSource.container_name", "nonempty", plain=True)] = Setting(
        "", pattern=r"^(\$root|\$web|[a-z0-9][a-z0-9-]{2,62})?$"
    )
    """The container that holds the images, as `AzureStorageSource.container_name`; empty: none."""
    containers: Names = ()
    """Containers that an identifier or a lookup may name itself, as `azure://container/name`, without prefix and
    suffix."""
    account_key: Annotated[SecretStr, FromCantaloupe("AzureStorageSource.account_key", "nonempty")] = SecretStr("")
    """The key of the account, as `AzureStorageSource.account_key`. Without it, a SAS or `anonymous`, requests are made
    as the identity that the AZURE variables name, or else the machine's own."""
    sas: SecretStr = SecretStr("")
    """A shared access signature instead, with the right to read: `sv=…&sig=…`."""
    anonymous: bool = False
    """Ask without credentials, for public containers."""
    endpoint: str = Setting("", pattern=r"^(https?://[^/?#@\s\\]+(/[a-z0-9]{3,24})?/?)?$")
    """Another address than `https://ACCOUNT.blob.core.windows.net`: of another cloud, or an emulator's
    `http://host:port/ACCOUNT`."""

    @classmethod
    def fits(cls, key: str) -> bool:
        """Report whether there can be a blob of this name."""
        return 0 < len(key) <= _LONGEST_NAME

    @field_validator("account_key")
    @classmethod
    def _is_base64(cls, key: SecretStr) -> SecretStr:
        try:
            b64decode(key.get_secret_value(), validate=True)
        except binascii.Error:
            raise ValueError("is not base64, as account keys are") from None
        return key

    @field_validator("sas")
    @classmethod
    def _is_query(cls, sas: SecretStr) -> SecretStr:
        query = sas.get_secret_value().removeprefix("?")
        if query and ("sig=" not in query or not query.isascii() or any(each in query for each in " #\r\n")):
            raise ValueError("is not the query of a signed URL, which has a sig=")
        return SecretStr(query)

    @model_validator(mode="after")
    def _is_one_account(self) -> Self:
        """Refuse containers without an account, and several kinds of credentials."""
        if self.known_buckets and not (self.account or (self.endpoint and not self.account_key.get_secret_value())):
            raise ValueError("a container is set, and no SIDECAR_AZURE_ACCOUNT")
        given = {"account_key": self.account_key.get_secret_value(), "sas": self.sas.get_secret_value()}
        given["anonymous"] = "yes" if self.anonymous else ""
        names = [self.variable(name) for name, value in given.items() if value]
        if len(names) > 1:
            raise ValueError(f"{names[0]} and {names[1]}: set one of them")
        return self
