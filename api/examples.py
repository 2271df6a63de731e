"""Examples made from a schema: legal, and in words that a reader knows."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_NUMBER, _MOMENT = "CR20260520-001", "2026-05-20T09:03:00+08:00"

WORDS: dict[str, Any] = {
    "id": "6f2d1f1e-3c47-4d0a-9c39-0f6f5f3f7a10",
    "event_id": "6f2d1f1e-3c47-4d0a-9c39-0f6f5f3f7a10",
    "number": _NUMBER,
    "request": _NUMBER,
    "subject": _NUMBER,
    "work_order": "WO20260520-001",
    "engineer": "GY2024001",
    "station": "SH-PD",
    "name": "张*",
    "phone": "138****5678",
    "email": "z***@example.com",
    "address": "上海市浦东新区***",
    "tier": "standard",
    "model": "KFR-35GW",
    "serial": "SN20240001",
    "category": "air_conditioner",
    "product_class": "normal",
    "external_id": "CRM-4711",
    "plan": "明日上门检测外机，必要时更换电容",
    "note": "已致电客户确认故障现象",
    "notes": "更换电容一只",
    "reason": "客户要求改到下午",
    "fault": "外机风扇不转",
    "cause": "电容失效",
    "remedy": "更换电容",
    "test_result": "出风口 16 °C，室温 30 °C",
    "signature": "张三",
    "text": "需要自带梯子",
    "answer": "请清洗滤网后再试",
    "item": "电容",
    "part": "电容",
    "code": "SA-CR-001",
    "key": "CR/1",
    "title": "Intake record",
    "title_zh": "需求受理记录表",
    "actor_id": "A-07",
    "actorid": "A-07",
    "actorrole": "agent",
    "source": "https://crm.example.com",
    "cursor": None,
    "next": None,
    "rule": "first_response",
    "what": "breached",
    "message": "此项必填",
    "field": "/plan",
    "window_start": "2026-05-21T09:00:00+08:00",
    "window_end": "2026-05-21T11:00:00+08:00",
    "urgency": "urgent",
    "status": "ok",
}
"""What stands in a field of this name, where its schema allows it."""

_FORMATS: dict[str, Any] = {
    "date-time": _MOMENT,
    "date": "2026-05-20",
    "uuid": "6f2d1f1e-3c47-4d0a-9c39-0f6f5f3f7a10",
    "uri": "https://example.com/aftersales",
    "email": "service@example.com",
    "uri-reference": "https://crm.example.com",
    "duration": "PT10M",
    "time": "09:00:00",
    "ipv4": "192.0.2.1",
    "binary": "",
}


class Sampler:
    """Makes an example of any schema.

    Args:
        schemas: what `#/components/schemas/…` leads to.
    """

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self._schemas = schemas

    def sample(self, schema: Json, name: str = "", deep: int = 0) -> Any:
        """A value that the schema allows; `name` is the field's."""
        if "$ref" in schema:
            target = self._schemas[schema["$ref"].rpartition("/")[2]]
            return self.sample({**target, **_without(schema, "$ref")}, name, deep)
        if told := schema.get("examples"):
            return told[0]
        for word in ("const", "example", "default"):
            if word in schema and schema[word] is not None:
                return schema[word]
        if "enum" in schema:
            wish = WORDS.get(name)
            return wish if wish in schema["enum"] else schema["enum"][0]
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return self._choice(schema[word], name, deep)
        if "allOf" in schema:
            merged: Json = {}
            for each in schema["allOf"]:
                merged |= self._resolved(each)
            return self.sample({**merged, **_without(schema, "allOf")}, name, deep)
        return self._by_type(schema, name, deep)

    def _choice(self, schemas: list[Json], name: str, deep: int) -> Any:
        real = [each for each in schemas if each.get("type") != "null"]
        recursive = deep > 6
        if len(real) < len(schemas) and (recursive or (name in WORDS and WORDS[name] is None)):
            return None
        return self.sample(real[0], name, deep)

    def _by_type(self, schema: Json, name: str, deep: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else None)
        match kind:
            case "object":
                properties = schema.get("properties", {})
                return {
                    key: self.sample(each, key, deep + 1)
                    for key, each in properties.items()
                    if deep <= 6 or key in schema.get("required", [])
                }
            case "array":
                if deep > 6 and not schema.get("minItems"):
                    return []
                if "prefixItems" in schema:
                    return [self.sample(each, name, deep + 1) for each in schema["prefixItems"]]
                few = max(1, schema.get("minItems", 0))
                return [self.sample(schema.get("items", {}), name, deep + 1)] * few
            case "integer" | "number":
                lowest: float = schema.get("minimum") or 0
                return max(1, lowest) if schema.get("maximum", 1) >= 1 else lowest
            case "boolean":
                return False
            case "null":
                return None
        return self._text(schema, name)

    def _text(self, schema: Json, name: str) -> Any:
        if schema.get("format") in _FORMATS:
            wish = WORDS.get(name)
            return wish if isinstance(wish, str) and "T" in wish else _FORMATS[schema["format"]]
        word = WORDS.get(name)
        text = word if isinstance(word, str) else "…"
        return text[: schema.get("maxLength", len(text))]

    def _resolved(self, schema: Json) -> Json:
        if "$ref" not in schema:
            return schema
        return dict(self._schemas[schema["$ref"].rpartition("/")[2]])


def _without(schema: Json, word: str) -> Json:
    return {key: value for key, value in schema.items() if key != word}
