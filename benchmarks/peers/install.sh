#!/bin/sh
# Installs what the benchmarks of other systems need: programs from the distribution (Debian, Ubuntu), clients from npm into this folder.
#
#   benchmarks/peers/install.sh                     everything
#   benchmarks/peers/install.sh redis postgres      only those: redis postgres nats rabbitmq beanstalkd; workerd needs no program
#
# The programs are started by the benchmarks themselves, on ports and folders of their own. A service that a package starts on its
# own may be stopped.
set -eu
cd "$(dirname "$0")"

names="${*:-redis postgres nats rabbitmq beanstalkd workerd}"
packages=""
for name in $names; do
  case "$name" in
    redis) packages="$packages redis-server" ;;
    postgres) packages="$packages postgresql" ;;
    nats) packages="$packages nats-server" ;;
    rabbitmq) packages="$packages rabbitmq-server" ;;
    beanstalkd) packages="$packages beanstalkd" ;;
    workerd) ;;
    *)
      echo "install.sh: there is no $name. There are: redis postgres nats rabbitmq beanstalkd workerd." >&2
      exit 2
      ;;
  esac
done

if [ -n "$packages" ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  $sudo apt-get update
  # shellcheck disable=SC2086 # one word for each package
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $packages
fi
npm install --no-save --no-package-lock --no-audit --no-fund --ignore-scripts
