"""The thinking: values in, values out. Nothing here imports Twisted, does I/O or looks at a clock."""
