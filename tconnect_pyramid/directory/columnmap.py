"""Which column of the account table holds which standard field: ours, or a host's own table.

A standard field is a key of the user record (protocol 6), plus `admin` (a local right that never
travels). A host maps those it has; the others are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Enum,
    Integer,
    SmallInteger,
    String,
    case,
    inspect,
)
from sqlalchemy.orm import InstrumentedAttribute

from tconnect_pyramid.errors import ConfigurationProblem
from tconnect_pyramid.models import Account

Record = Mapping[str, Any]

STANDARD_FIELDS: Mapping[str, Any] = {
    # name -> the value of a site that does not keep the field
    **{
        column.key: column.default.arg if column.default is not None and column.default.is_scalar else None
        for column in Account.__table__.columns
        if column.key != "id"
    }
}
REQUIRED_FIELDS = ("username", "email", "suspended")


@dataclass(frozen=True, slots=True)
class Mapped:
    """A field that is not simply one column.

    `read` is an SQL expression over the table (None: the field cannot be read back); `write` takes
    the changed standard fields and returns `{column name: value}`; `fields` names the standard
    fields `write` needs to see together.
    """

    read: ColumnElement[Any] | None
    write: Callable[[Record], Mapping[str, Any]]
    fields: tuple[str, ...] = ()


def inverted(column: InstrumentedAttribute[Any]) -> Mapped:
    """A flag kept the other way round, such as `is_active` for `suspended`."""
    name = column.key
    return Mapped(
        read=case((column, 0), else_=1),
        write=lambda record: {name: not next(iter(record.values()))},
    )


def timestamp_flag(column: InstrumentedAttribute[Any], now: Callable[[], Any]) -> Mapped:
    """A flag kept as the moment it was set, NULL while it is not; `now()` gives such a moment."""
    name = column.key
    return Mapped(
        read=case((column.is_(None), 0), else_=1),
        write=lambda record: {name: now() if next(iter(record.values())) else None},
    )


def joined(column: InstrumentedAttribute[Any], *fields: str) -> Mapped:
    """Several fields written into one column with a blank between, such as a full name. Write only."""
    name = column.key
    return Mapped(
        read=None,
        write=lambda record: {name: " ".join(str(record[f]) for f in fields if record.get(f))},
        fields=fields,
    )


class Limits:
    """What columns take, by the names that the caller gives them: fields, or attributes of the class.

    `longest`: the most characters of a text; `largest`: the largest number; `choices`: all that there may be instead of
    some text or number; `filled`: the names of those that may not be NULL.
    """

    def __init__(self, columns: Mapping[str, Column[Any]]) -> None:
        types = {name: column.type for name, column in columns.items()}
        self.choices: Mapping[str, frozenset[Any]] = {
            name: frozenset({None, *kind.enums}) if isinstance(kind, Enum) else _FLAG
            for name, kind in types.items()
            if isinstance(kind, Enum | Boolean)
        }
        self.longest: Mapping[str, int] = {
            name: kind.length
            for name, kind in types.items()
            if isinstance(kind, String) and kind.length and name not in self.choices
        }
        self.largest: Mapping[str, int] = {
            name: 2**15 - 1 if isinstance(kind, SmallInteger) else 2**31 - 1
            for name, kind in types.items()
            if isinstance(kind, Integer) and not isinstance(kind, BigInteger)
        }
        self.filled = [
            name
            for name, column in columns.items()
            # Of the other fields no record leaves one empty.
            if not column.nullable and STANDARD_FIELDS.get(name) is None
        ]


_FLAG = frozenset({None, False, True})


class ColumnMap:
    """The account table and its fields. Checked on construction; raises ConfigurationProblem.

    `mapped_class`: a declarative class on a single table with an integer primary key.
    `fields`: standard field -> its attribute, or a `Mapped`.
    `defaults`: attribute name -> value or callable, for other columns that may not be NULL.
    """

    def __init__(
        self,
        mapped_class: type[Any],
        fields: Mapping[str, InstrumentedAttribute[Any] | Mapped],
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        mapper = inspect(mapped_class)
        problems = []
        name = mapped_class.__name__
        unknown = sorted(set(fields) - set(STANDARD_FIELDS))
        missing = [field for field in REQUIRED_FIELDS if field not in fields]
        if unknown:
            problems.append(
                f"set_tconnect_accounts: {name}: {', '.join(unknown)} is no standard field; "
                "the fields are those of the user record, see docs/hosts.md."
            )
        if missing:
            problems.append(f"set_tconnect_accounts: {name}: map {', '.join(missing)} to a column.")
        if len(mapper.tables) != 1:
            problems.append(
                f"set_tconnect_accounts: {name} is spread over {len(mapper.tables)} tables; accounts "
                "are written by set-based statements, which need a class on a single table."
            )
        keys = mapper.primary_key
        if len(keys) != 1 or not isinstance(keys[0].type, BigInteger | Integer | SmallInteger):
            problems.append(f"set_tconnect_accounts: {name} needs one integer column as its primary key.")
        if problems:
            raise ConfigurationProblem(problems)
        self.mapped_class = mapped_class
        self.is_own = mapped_class is Account
        self.table = mapper.local_table
        self.key: ColumnElement[int] = keys[0]
        self.key_name: str = mapper.get_property_by_column(keys[0]).key
        self.fields = dict(fields)
        self.defaults = dict(defaults or {})
        self._indirect = [(field, where) for field, where in fields.items() if isinstance(where, Mapped)]
        self._shared = tuple(where for _, where in self._indirect if where.fields)
        self.limits = Limits(
            {
                field: mapper.columns[where.key]
                for field, where in fields.items()
                if not isinstance(where, Mapped)
            }
        )
        """What the columns of fields take that have one of their own, by field."""
        self.row_limits = Limits(dict(mapper.columns.items()))
        """What all columns take, by attribute."""
        self.compared = frozenset(field for field in fields if self.read(field) is not None)
        """The fields that are kept and can be read back."""
        self._check_required(name, mapper)
        for field in REQUIRED_FIELDS:
            self.readable(field)
        if self.keeps("deleted"):
            # Unseen, a deleted account would be deleted again by every run.
            self.readable("deleted")

    def keeps(self, field: str) -> bool:
        """True when the table has a place for a standard field."""
        return field in self.fields

    def shared(self) -> tuple[Mapped, ...]:
        """The places that hold several standard fields at once, such as a full name."""
        return self._shared

    def takes(self, field: str) -> bool:
        """True when a value of a standard field is stored: in a column of its own, or along with others."""
        return self.keeps(field) or any(field in where.fields for where in self.shared())

    def read(self, field: str) -> ColumnElement[Any] | None:
        """The SQL expression that gives a field, or None when it cannot be read."""
        where = self.fields.get(field)
        if isinstance(where, Mapped):
            return where.read
        return None if where is None else where.expression

    def readable(self, field: str) -> ColumnElement[Any]:
        """The SQL expression of a field that every map must have."""
        expression = self.read(field)
        if expression is None:
            raise ConfigurationProblem([f"set_tconnect_accounts: the field {field} must be readable."])
        return expression

    def writes(self, record: Record) -> dict[str, Any]:
        """The attributes and values to store for changed standard fields."""
        values: dict[str, Any] = {}
        for field, value in record.items():
            where = self.fields.get(field)
            if where is not None and not isinstance(where, Mapped):
                values[where.key] = value
        for _, written in self.indirect(record):
            values.update(written)
        return values

    def indirect(self, record: Record) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
        """Those of changed standard fields that are not simply one column, with the attributes and values to store."""
        for field, where in self._indirect:
            if where.fields:
                if not record.keys().isdisjoint(where.fields):
                    yield where.fields, where.write(record)
            elif field in record:
                yield (field,), where.write({field: record[field]})

    def new_row(self, record: Record) -> dict[str, Any]:
        """All attributes of a new row: the host's defaults, then the record's fields."""
        row = {name: value() if callable(value) else value for name, value in self.defaults.items()}
        row.update(self.writes(record))
        return row

    def _check_required(self, name: str, mapper: Any) -> None:
        written = set(self.new_row(dict.fromkeys(self.fields)))
        if self.key_name in written:
            raise ConfigurationProblem([f"set_tconnect_accounts: {name}: a field writes to the primary key."])
        needed = [
            attribute.key
            for attribute in mapper.column_attrs
            for column in attribute.columns
            if not column.nullable
            and not column.primary_key
            and column.server_default is None
            and attribute.key not in written
            and (column.default is None or not column.default.is_scalar)
        ]
        if needed:
            problem = (
                f"set_tconnect_accounts: {name}: {', '.join(needed)} may not be NULL and has no value; "
                "give it in defaults={...}."
            )
            raise ConfigurationProblem([problem])


def own_accounts() -> ColumnMap:
    """The column map of this package's own account table: every standard field has its column."""
    return ColumnMap(Account, {field: getattr(Account, field) for field in STANDARD_FIELDS})
