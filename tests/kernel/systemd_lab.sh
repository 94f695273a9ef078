#!/usr/bin/env bash
# Boots a real systemd as PID 1 of namespaces of its own, on a throw-away overlay of this machine's root.
#
#   systemd_lab.sh up FOLDER [SOURCE:PLACE]...   boot; FOLDER (made, and removed by "down") keeps the state;
#                                     each SOURCE of this machine is seen at PLACE inside
#   systemd_lab.sh run FOLDER CMD...  run a command inside, as root
#   systemd_lab.sh down FOLDER        power off and clean up; may be called at any time
#
# Nothing of the lab outlives it: its mounts are in a private mount namespace, its files in a tmpfs, its
# processes in a PID namespace that the kernel ends with PID 1. Needs root, overlayfs, systemd and dbus.
set -euo pipefail
verb=$1 lab=$(realpath -m "$2")
shift 2
group=catalog-lab-$(basename "$lab")

leader() { cat "$lab/pid" 2>/dev/null || true; }
alive() { local pid; pid=$(leader); [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ]; }
inside() { nsenter -t "$(leader)" -m -p -C -u -i -n -- "$@"; }
groups() { local at; for at in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e "$at/cgroup.procs" ] && echo "$at/$group"; done; true; }
await() { local tries=$1; shift; while ! "$@"; do tries=$((tries - 1)); [ $tries -gt 0 ] || return 1; sleep .1; done; }

enter_groups() {
    local at
    for at in $(groups); do
        mkdir -p "$at"
        case $at in
        */cpuset/*) cat "${at%/*}/cpuset.cpus" >"$at/cpuset.cpus"; cat "${at%/*}/cpuset.mems" >"$at/cpuset.mems" ;;
        esac
        echo $BASHPID >"$at/cgroup.procs"
    done
}

leave_groups() {
    local at left=0
    for at in $(groups); do
        [ -d "$at" ] || continue
        find "$at" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ ! -d "$at" ] || left=1
    done
    return $left
}

gone() { [ ! -d "/proc/$(leader)" ]; }

down() {
    if alive; then
        inside systemctl poweroff --no-block >/dev/null 2>&1 || true
        await 100 gone || kill -KILL "$(leader)" 2>/dev/null || true
        await 50 gone || true
    fi
    await 30 leave_groups || true
    rm -rf --one-file-system "$lab"
}

running() { case $(inside systemctl is-system-running 2>/dev/null || true) in running | degraded) ;; *) false ;; esac; }
booted() {
    local pid
    pid=$(pgrep -P "$1" | head -1) || return 1
    echo "$pid" >"$lab/pid"
    alive && running
}

up() {
    down
    mkdir -p "$lab/mount"
    printf '%s\n' "$@" >"$lab/binds"
    (
        enter_groups
        exec setsid unshare --mount --pid --cgroup --uts --ipc --net --fork --kill-child=KILL \
            "$0" pid1 "$lab" </dev/null >"$lab/console" 2>&1
    ) &
    if ! await 300 booted $!; then
        cat "$lab/console" >&2
        down
        exit 1
    fi
}

# Runs as PID 1 of the new namespaces: lays the file systems out, and becomes systemd.
pid1() {
    mount --make-rprivate /
    mount -t tmpfs -o mode=755,size=2g lab "$lab/mount"
    mkdir "$lab/mount/"{upper,work,root}
    local root=$lab/mount/root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$lab/mount/upper,workdir=$lab/mount/work" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
    local device name major minor
    for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
        IFS=: read -r name major minor <<<"$device"
        mknod -m 666 "$root/dev/$name" c "$major" "$minor"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s pts/ptmx "$root/dev/ptmx" # PrivateDevices= copies it
    mkdir "$root/dev/"{pts,shm,mqueue}
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    local source place
    while IFS=: read -r source place; do
        [ -n "$source" ] || continue
        mkdir -p "$root$place"
        mount --bind "$source" "$root$place"
    done <"$lab/binds"
    # Only what a test needs: the host's own services stay out.
    local units=$root/etc/systemd/system unit
    rm -rf "${units:?}"/*
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$units/lab.target"
    for unit in systemd-{udevd,udev-trigger,timesyncd,networkd,resolved,logind,modules-load,sysctl}.service \
        systemd-{remount-fs,random-seed,update-utmp,hwdb-update,firstboot,binfmt,vconsole-setup}.service \
        systemd-{machine-id-commit,pstore,boot-system-token}.service getty@tty1.service console-getty.service \
        ldconfig.service {dev-hugepages,dev-mqueue,sys-kernel-debug,sys-kernel-tracing}.mount \
        {sys-kernel-config,sys-fs-fuse-connections}.mount proc-sys-fs-binfmt_misc.automount \
        systemd-udevd-{kernel,control}.socket systemd-initctl.socket \
        {apt-daily,apt-daily-upgrade,e2scrub_all,fstrim,man-db,dpkg-db-backup,logrotate}.timer; do
        ln -sf /dev/null "$units/$unit"
    done
    : >"$root/etc/fstab"
    head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$root/etc/machine-id"
    ip link set lo up 2>/dev/null || true
    mkdir -p "$root/.old"
    cd "$root"
    pivot_root . .old
    umount -l /.old
    mount --make-rshared / # as after a real boot; else mounts made later do not reach services
    exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        /lib/systemd/systemd --system --unit=lab.target --show-status=no
}

case $verb in
up) up "$@" ;;
down | pid1) $verb ;;
run) alive && inside "$@" ;;
*) echo "usage: $0 up|run|down FOLDER [COMMAND...]" >&2; exit 2 ;;
esac
