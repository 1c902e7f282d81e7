"""How values reach people and programs: tables, JSON documents, live lines."""
