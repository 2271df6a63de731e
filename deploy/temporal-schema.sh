#!/bin/sh
# Brings Temporal's two schemas to the version of this image. Safe to run again: each step already
# taken is skipped. Connection settings come from the SQL_* variables.
set -eu

schema=/etc/temporal/schema/postgresql/v12

upgrade() {
  database=$1 versions=$2
  temporal-sql-tool --database "$database" setup-schema -v 0.0
  temporal-sql-tool --database "$database" update-schema --schema-dir "$versions"
}

upgrade temporal "$schema/temporal/versioned"
upgrade temporal_visibility "$schema/visibility/versioned"
