#!/bin/sh
# Creates the namespace and registers the search attributes. Safe to run again; an attribute that
# exists with another type is an error. Needs TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE.
set -eu

: "${TEMPORAL_ADDRESS:?}" "${TEMPORAL_NAMESPACE:?}"
retention=${TEMPORAL_RETENTION:-30d}

# A new namespace takes seconds to reach every part of the server, so each step is tried again, and
# complains only when patience runs out or waiting cannot help.
patiently() {
  what=$1 left=60
  shift
  until complaint=$("$@" 2>&1); do
    left=$((left - 1))
    case $complaint in *"has different type"*) left=0 ;; esac
    if [ "$left" -le 0 ]; then
      echo "Gave up waiting: $what. $complaint" >&2
      exit 1
    fi
    sleep 2
  done
}

namespace_exists() {
  temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1
}

# Another copy of this script may have been quicker.
ensure_namespace() {
  namespace_exists && return
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$retention" || namespace_exists
}

ensure_retention() {
  temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$retention"
}

ensure_attributes() {
  temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" \
    --name Stage --type Keyword \
    --name RequestType --type Keyword \
    --name Urgency --type Keyword \
    --name Station --type Keyword \
    --name Engineer --type Keyword \
    --name CustomerTier --type Keyword \
    --name ClockState --type Keyword \
    --name NextDue --type Datetime \
    --name Breached --type KeywordList
}

query_attributes() {
  temporal workflow count --namespace "$TEMPORAL_NAMESPACE" --query "Stage = '' AND RequestType = '' \
    AND Urgency = '' AND Station = '' AND Engineer = '' AND CustomerTier = '' AND ClockState = '' \
    AND NextDue > '2000-01-01T00:00:00Z' AND Breached = ''"
}

patiently "the server answers" temporal operator cluster health
patiently "the namespace $TEMPORAL_NAMESPACE" ensure_namespace
patiently "the retention of $TEMPORAL_NAMESPACE" ensure_retention
patiently "the search attributes" ensure_attributes
# A worker that starts before they are known would retry its first task.
patiently "queries by the search attributes" query_attributes

echo "Namespace $TEMPORAL_NAMESPACE is ready: histories kept for $retention, search attributes registered."
