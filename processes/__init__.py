"""The process as BPMN 2.0, and what draws it."""
