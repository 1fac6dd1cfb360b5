# shellcheck shell=bash
# Shared by deploy/test and deploy/demo: packages and builds. Source it; ROOT is the source tree.

die() { echo "${0##*/}: $*" >&2; exit 2; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root: it installs packages and makes network namespaces. Try: sudo $0"; }

# package_names LIST...: of packages.list, and of further lists beside it.
package_names() { (cd "$ROOT/deploy" && cat packages.list "$@") | sed 's/#.*//' | tr -s ' \t\n' ' '; }

missing_packages() {
    local name
    for name in $(package_names "$@"); do
        dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

# install_packages LIST...: installs what is missing. No question is asked, and no daemon starts: the tests and the demo bring
# their own, in namespaces. policy-rc.d says so to the packages while they are being installed, and is put back however this ends.
install_packages() (
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -n "$missing" ] || exit 0
    echo "installing: $missing"
    policy=/usr/sbin/policy-rc.d
    log=$(mktemp)
    restore() {
        rm -f "$log" $policy
        [ ! -e $policy.droppoint ] || mv $policy.droppoint $policy
    }
    [ ! -e $policy ] || mv $policy $policy.droppoint
    trap restore EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    export DEBIAN_FRONTEND=noninteractive
    # dpkg-divert and systemd stay alone; only debconf has to know that Postfix is not to be set up.
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    for step in update "install -y --no-install-recommends $missing"; do
        # shellcheck disable=SC2086 # a step is several words
        apt-get -q -o Dpkg::Use-Pty=0 $step >"$log" 2>&1 </dev/null || { cat "$log" >&2; die "apt-get ${step%% *} failed"; }
    done
)

# unpack_packages NAME...: into build/unpacked/NAME, without installing: for programs that conflict with what the tests install.
unpack_packages() (
    for name; do
        to=$ROOT/build/unpacked/$name
        [ ! -e "$to.complete" ] || continue
        echo "unpacking: $name"
        dir=$(mktemp -d)
        trap 'rm -rf "$dir"' EXIT
        cd "$dir" || exit 2
        apt-get -q download "$name" >log 2>&1 || { apt-get -q update && apt-get -q download "$name"; } >log 2>&1 ||
            { cat log >&2; die "apt-get download $name failed"; }
        rm -rf "$to"
        mkdir -p "$to"
        dpkg -x ./*.deb "$to" || die "dpkg -x $name failed"
        touch "$to.complete"
        rm -rf "$dir"
    done
)

# build PRESET [TARGET...]: configures and builds; says nothing unless it fails.
build() {
    local preset=$1 log start=$SECONDS
    shift
    log=$ROOT/build/$preset.log
    mkdir -p "$ROOT/build"
    if ! { (cd "$ROOT" && cmake --preset "$preset") && cmake --build "$ROOT/build/$preset" ${1:+--target "$@"} -- -k 0; } \
        >"$log" 2>&1 </dev/null; then
        { grep -A 12 -m 6 -E 'FAILED:|CMake Error' "$log" || tail -n 30 "$log"; } >&2
        die "the $preset build failed; the whole log is $log"
    fi
    echo "built $preset in $((SECONDS - start)) s"
}
