"""What every table is made from."""

from sqlalchemy import MetaData
from sqlmodel import SQLModel


class Record(SQLModel):
    """A row; its constraints are named alike on every database, so that migrations find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
