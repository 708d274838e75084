#!/usr/bin/env bash
# A real standalone Flink on this machine, without containers: the jars come from `make flink-jar`.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: cluster.sh jobmanager|taskmanager|workers|jobserver|all WORK_DIR

Runs one process of a standalone Flink cluster in the foreground, or all of them until Ctrl-C:
  jobmanager   takes jobs; its web page and REST interface are on REST_PORT
  taskmanager  runs them (start it again after a crash: jobs go on from their last checkpoint)
  workers      Beam's worker pool: starts the Python workers that do the jobs' real work
  jobserver    takes Beam pipelines and hands them to the cluster; only for `--runner=PortableRunner`
  all          all four, each with a log WORK_DIR/NAME.log
WORK_DIR keeps checkpoints and temporary files.

Settings from the environment, with their defaults:
  REST_PORT=8081  RPC_PORT=6123  WORKER_PORT=50000  JOB_PORT=8099
  PYTHON           the interpreter newsbeam is installed in (.venv/bin/python)
  FLINK_LIBS       where apache-flink-libraries was installed with --target (.engines/flink-libs)
  FLINK_JOB_SERVER the job server's jar (.engines/flink-job-server.jar)
  JAVA             the java command, 11 or 17 (java)
TEXT
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  jobmanager | taskmanager | workers | jobserver | all) [ $# -eq 2 ] || { usage >&2; exit 2; } ;;
  *) usage >&2; exit 2 ;;
esac

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
role=$1
mkdir -p "$2"
work=$(cd "$2" && pwd)
mkdir -p "$work/checkpoints" "$work/tmp"

rest_port=${REST_PORT:-8081}
rpc_port=${RPC_PORT:-6123}
worker_port=${WORKER_PORT:-50000}
job_port=${JOB_PORT:-8099}
python=${PYTHON:-$root/.venv/bin/python}
libs=${FLINK_LIBS:-$root/.engines/flink-libs}/pyflink/lib
job_server=${FLINK_JOB_SERVER:-$root/.engines/flink-job-server.jar}
java=${JAVA:-java}

fail() { echo "cluster.sh: $1" >&2; exit 1; }

need_java() { command -v "$java" > /dev/null || fail "no $java command: install a Java runtime (11 or 17)"; }

flink() { # MEGABYTES_OF_HEAP MAIN_CLASS FURTHER_ARGUMENTS...
  need_java
  [ -d "$libs" ] || fail "Flink's jars are not at $libs: run \`make flink-jar\`"
  local heap=$1 main=$2 jar package
  shift 2
  # Flink serialises classes of the JDK by reflection, which Java 17 forbids unless told.
  local opens=("--add-opens=java.base/sun.nio.ch=ALL-UNNAMED")
  for package in lang lang.reflect net io nio text time util util.concurrent util.concurrent.atomic util.concurrent.locks; do
    opens+=("--add-opens=java.base/java.$package=ALL-UNNAMED")
  done
  local path=""
  for jar in "$libs"/flink-dist*.jar "$libs"/log4j*.jar; do path+=$jar:; done
  exec "$java" "-Xmx${heap}m" "${opens[@]}" "-Djava.io.tmpdir=$work/tmp" \
    "-Dlog4j.configurationFile=file:$here/log4j.properties" -cp "${path%:}" "$main" --configDir "$here" "$@" \
    -D "jobmanager.rpc.port=$rpc_port" -D "rest.port=$rest_port" -D "rest.bind-port=$rest_port" \
    -D "state.checkpoints.dir=file://$work/checkpoints" -D "io.tmp.dirs=$work/tmp"
}

case $role in
  jobmanager)
    flink 512 org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --executionMode cluster
    ;;
  taskmanager)
    flink 512 org.apache.flink.runtime.taskexecutor.TaskManagerRunner
    ;;
  workers)
    [ -x "$python" ] || fail "no interpreter at $python: run \`make install\`, or set PYTHON"
    # The pool starts each worker as plain `python`: the environment's own must be the first one found.
    PATH=$(dirname "$python"):$PATH
    export PATH
    exec "$python" -m apache_beam.runners.worker.worker_pool_main "--service_port=$worker_port"
    ;;
  jobserver)
    need_java
    [ -f "$job_server" ] || fail "no job server at $job_server: run \`make flink-jar\`"
    exec "$java" -Xmx512m "-Djava.io.tmpdir=$work/tmp" -jar "$job_server" --flink-master "localhost:$rest_port" \
      --job-host localhost --job-port "$job_port" --artifact-port 0 --expansion-port 0 --artifacts-dir "$work/artifacts"
    ;;
  all)
    # `set -m` gives each its own process group, so that the pool's workers are reached as well.
    set -m
    groups=()
    stop() {
      trap - EXIT INT TERM
      for group in "${groups[@]}"; do kill -TERM -- "-$group" 2> /dev/null || true; done
      wait
    }
    trap stop EXIT
    trap 'exit 0' INT TERM
    for each in jobmanager taskmanager workers jobserver; do
      "$here/cluster.sh" "$each" "$work" > "$work/$each.log" 2>&1 < /dev/null &
      groups+=($!)
    done
    cat <<TEXT
Flink:        http://localhost:$rest_port
workers:      localhost:$worker_port
Beam jobs:    localhost:$job_port
logs:         $work/*.log
Ctrl-C stops them all.
TEXT
    wait -n || true
    fail "one of the processes has ended; see $work/*.log"
    ;;
esac
