"""Reads the object that clang makes of relay.bpf.c: instructions, maps, licence, and where an instruction names a map.

ELF64, little-endian, machine EM_BPF, relocatable; sections `tc`, `maps`, `license` as the C source names them. Strict:
what is not expected there is an error, because the object comes with the package. No BTF, no global data, no calls.
"""

import struct
from typing import Final

from msgspec import Struct

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_REL: Final = struct.Struct("<QQ")
_MAP: Final = struct.Struct("<5I")  # struct map

_IDENT: Final = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_ET_REL: Final = 1
_EM_BPF: Final = 247
_SHT_SYMTAB: Final = 2
_R_BPF_64_64: Final = 1
_INSTRUCTION: Final = 8
_LOAD_64: Final = 0x18  # BPF_LD | BPF_DW | BPF_IMM


class ElfError(Exception):
    """This is not the object that we made; the text says why."""


class MapSpec(Struct, frozen=True):
    """One map as the source declares it. `kind`: enum bpf_map_type. Sizes in octets."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class BpfObject(Struct, frozen=True):
    """`relocations`: (octet offset of a 16-octet load instruction, name of the map whose descriptor it shall load)."""

    code: bytes
    licence: str
    maps: dict[str, MapSpec]
    relocations: tuple[tuple[int, str], ...]


class _Section(Struct, frozen=True):
    name: str
    kind: int
    data: bytes


class _Symbol(Struct, frozen=True):
    name: str
    section: int
    value: int


def read_object(data: bytes) -> BpfObject:
    """Raises ElfError."""
    try:
        return _read(data)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise ElfError(f"the BPF object is damaged: {error}") from error


def _read(data: bytes) -> BpfObject:
    sections = _sections(data)
    numbers = {section.name: number for number, section in enumerate(sections)}
    for needed in ("tc", "maps", "license", ".reltc"):
        if needed not in numbers:
            raise ElfError(f"the BPF object has no section {needed}")
    symbols = _symbols(sections)
    maps_number = numbers["maps"]
    code = sections[numbers["tc"]].data
    return BpfObject(
        code=code,
        licence=_text(sections[numbers["license"]].data, 0),
        maps={
            one.name: MapSpec(*_MAP.unpack_from(sections[maps_number].data, one.value))
            for one in symbols
            if one.section == maps_number and one.name
        },
        relocations=tuple(_relocations(sections[numbers[".reltc"]].data, code, symbols, maps_number)),
    )


def _sections(data: bytes) -> list[_Section]:
    ident, kind, machine, _, _, _, table, _, _, _, _, size, count, names = _HEADER.unpack_from(data)
    if not ident.startswith(_IDENT) or kind != _ET_REL or machine != _EM_BPF or size != _SECTION.size:
        raise ElfError("this is no little-endian BPF object")
    heads = [_SECTION.unpack_from(data, table + number * size) for number in range(count)]
    bodies = [data[head[4] : head[4] + head[5]] for head in heads]
    for head, body in zip(heads, bodies, strict=True):
        if len(body) != head[5]:
            raise ElfError("the BPF object is cut off")
    return [_Section(_text(bodies[names], head[0]), head[1], body) for head, body in zip(heads, bodies, strict=True)]


def _symbols(sections: list[_Section]) -> list[_Symbol]:
    tables = [section for section in sections if section.kind == _SHT_SYMTAB]
    strings = next((section.data for section in sections if section.name == ".strtab"), b"")
    if len(tables) != 1:
        raise ElfError("the BPF object has no symbol table, or several")
    return [
        _Symbol(_text(strings, name), section, value)
        for name, _, _, section, value, _ in _SYMBOL.iter_unpack(tables[0].data)
    ]


def _relocations(data: bytes, code: bytes, symbols: list[_Symbol], maps_number: int) -> list[tuple[int, str]]:
    found = []
    for offset, info in _REL.iter_unpack(data):
        symbol = symbols[info >> 32]
        if info & 0xFFFFFFFF != _R_BPF_64_64 or symbol.section != maps_number:
            raise ElfError(f"an instruction refers to {symbol.name or 'something'}, which is no map")
        if offset % _INSTRUCTION or code[offset] != _LOAD_64:
            raise ElfError("a map is named where no instruction loads it")
        found.append((offset, symbol.name))
    return found


def _text(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode("ascii") if start < len(strings) else ""
