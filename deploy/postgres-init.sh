#!/usr/bin/env bash
# Runs once, on an empty data folder: one login and one owner per system, so that neither can read
# the other's tables.
set -euo pipefail

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 \
  --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set temporal_password="$TEMPORAL_DB_PASSWORD" \
  --set app_password="$APP_DB_PASSWORD" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE aftersales LOGIN PASSWORD :'app_password';

CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE aftersales OWNER aftersales ENCODING 'UTF8' TEMPLATE template0;

REVOKE CONNECT ON DATABASE temporal FROM PUBLIC;
REVOKE CONNECT ON DATABASE temporal_visibility FROM PUBLIC;
REVOKE CONNECT ON DATABASE aftersales FROM PUBLIC;
SQL
