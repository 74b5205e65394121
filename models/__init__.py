"""The data layer: tables, migrations, and every read and write on them."""
