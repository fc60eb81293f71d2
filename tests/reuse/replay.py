"""Replays recorded calls in Python, on a policy in wasmtime, and compares the answers:

pip install wasmtime
python replay.py policy.wasm calls.jsonl
"""

import json
import re
import sys

from wasmtime import Engine, Store
from wasmtime.component import (
    Component,
    Linker,
    ListType,
    OptionType,
    Record,
    RecordType,
    ResultType,
    Variant,
    VariantType,
)

DECISIONS = "corral:policy/decisions@0.2.0"


def kebab(name):
    return re.sub("[A-Z]", lambda letter: "-" + letter.group().lower(), name)


def camel(name):
    return re.sub("-([a-z])", lambda letter: letter.group(1).upper(), name)


def is_tagged(cases):
    """wasmtime leaves out the tag where the type of the payload tells the cases apart."""
    kinds = [type(payload) for _, payload in cases]
    return len(set(kinds)) < len(kinds)


def cases_of(ty):
    return [("ok", ty.ok), ("err", ty.err)] if isinstance(ty, ResultType) else ty.cases


class Types:
    """A type of the contract as a pair of functions: from JSON into a value and back."""

    @classmethod
    def of(cls, ty):
        if isinstance(ty, RecordType):
            return cls.record([(name, *cls.of(field)) for name, field in ty.fields])
        if isinstance(ty, ListType):
            into, back = cls.of(ty.element)
            return (lambda items: list(map(into, items))), (lambda items: list(map(back, items)))
        if isinstance(ty, OptionType):
            into, back = cls.of(ty.payload)
            return cls.nullable(into), cls.nullable(back)
        if isinstance(ty, (VariantType, ResultType)):
            return cls.variant(cases_of(ty))
        return (lambda value: value), (lambda value: value)

    @staticmethod
    def nullable(convert):
        return lambda value: None if value is None else convert(value)

    @staticmethod
    def record(fields):
        def into(values):
            record = Record()
            for name, convert, _ in fields:
                setattr(record, name, convert(values[camel(name)]))
            return record

        def back(record):
            return {camel(name): convert(getattr(record, name)) for name, _, convert in fields}

        return into, back

    @classmethod
    def variant(cls, cases):
        tagged = is_tagged(cases)
        payloads = {name: payload and cls.of(payload) for name, payload in cases}
        kinds = {name: kind_of(payload) for name, payload in cases}

        def into(value):
            payload = payloads[value["tag"]]
            content = payload and payload[0](value["val"])
            return Variant(value["tag"], content) if tagged else content

        def back(value):
            if tagged:
                name, content = value.tag, value.payload
            else:
                name = next(name for name, kind in kinds.items() if isinstance(value, kind))
                content = value
            payload = payloads[name]
            return {"tag": name, "val": payload[1](content)} if payload else {"tag": name}

        return into, back


def kind_of(ty):
    if isinstance(ty, RecordType):
        return Record
    if isinstance(ty, (VariantType, ResultType)):
        return Variant
    if isinstance(ty, ListType):
        return list
    return type(None) if ty is None else str


class Function:
    def __init__(self, store, function):
        self.store, self.function = store, function
        ty = function.type(store)
        self.into = [Types.of(param)[0] for _, param in ty.params]
        self.back = Types.of(ty.result)[1]

    def __call__(self, given):
        values = [into(value) for into, value in zip(self.into, given)]
        return self.back(self.function(self.store, *values))


def main(component, calls):
    engine = Engine()
    store = Store(engine)
    instance = Linker(engine).instantiate(store, Component.from_file(engine, component))
    decisions = instance.get_export_index(store, DECISIONS)

    def function(name):
        return instance.get_func(store, instance.get_export_index(store, kebab(name), decisions))

    names = ("configure", "plan", "rowTags", "step", "invalidate")
    functions = {name: Function(store, function(name)) for name in names}
    same = 0
    with open(calls, encoding="utf-8") as lines:
        for line in lines:
            # 64 bits are more than a number in JSON holds elsewhere, so entropy is a text.
            call = json.loads(line, object_hook=entropy_as_number)
            seen = functions[call["function"]](call["arguments"])
            if call["function"] == "configure":
                continue
            if seen != call["answer"]:
                sys.exit(f"{line}answered {json.dumps(seen)}")
            same += 1
    print(f"{same} answers are the same")


def entropy_as_number(values):
    return {name: int(part) if name == "entropy" else part for name, part in values.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
