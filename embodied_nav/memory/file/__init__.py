"""The memory file: tables, snapshots of a memory, writer, reader, migration, salvage. Knows no questions."""
