#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A systemd of its own, for one user, in name spaces of its own: processes, mounts, network. Then it does the commands that come on the
# standard input; at its end all that was started here is gone, since it is the first process of its name space.
#
# unshare --mount --pid --net --fork --mount-proc --kill-child sh systemd.sh FOLDER     (FOLDER/units holds the units)
set -e
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/unified /sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount -t tmpfs tmpfs /run
# it looks here whether the machine runs systemd
mkdir -p /run/systemd/system /run/own
chmod 700 /run/own
mkdir -p "$1/config/systemd"
ln -s "$1/units" "$1/config/systemd/user"
export XDG_RUNTIME_DIR=/run/own XDG_CONFIG_HOME="$1/config" SYSTEMD_LOG_TARGET=console HOME="$1"
ip link set lo up
/lib/systemd/systemd --user < /dev/null &
while ! systemctl --user is-system-running > /dev/null 2>&1; do
    kill -0 $!
    sleep 0.1
done
echo systemd is there
while read -r line; do
    eval "$line"
done
