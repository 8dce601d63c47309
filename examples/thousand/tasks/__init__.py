"""Tasks with exact answers for a thousand small experts, generated from permissive libraries."""
