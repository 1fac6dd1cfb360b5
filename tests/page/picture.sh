#!/bin/bash
# picture.sh OUT.png: makes the picture of a report page that the documentation shows. Real mail, from Postfix to Postfix,
# through the lab of the scenario tests, in which lb1 silently drops packets above 1400 bytes; tcpdump at five places,
# `droppoint locate --html`, and a screenshot. Needs root, the packages of deploy/packages.list, and a release build.
set -u
out=$(readlink -m "${1:?usage: picture.sh OUT.png}")
here=$(dirname "$(readlink -f "$0")")
root=$here/../..
LAB=picture
. "$root/tests/scenario/lab.sh"
. "$root/deploy/demo_mail.sh"
LAB_PORT=25
LAB_CAPTURE_FILTER='tcp'
bin=${DROPPOINT_BIN:-$root/build/release/bin}

down() {
    demo_mail_down
    lab_down
    rm -rf "/etc/netns/$LAB-mx1" "/etc/netns/$LAB-remote" "${DEMO:?}"
    rmdir /etc/netns 2>/dev/null
}
DEMO=$(mktemp -d /tmp/picture.XXXXXX)
chmod 755 "$DEMO"
trap 'rc=$?; trap - EXIT; down; exit $rc' EXIT
trap 'exit 130' INT TERM HUP
lab_up
lab_serve $LAB_MARK_PORT
demo_mail_up
demo_mail_hold
demo_queue 300 2
demo_queue 980 2
demo_queue 50000 2
lab_wait_for 10 demo_all_deferred 6 || lab_die "mx1 does not keep its messages"
demo_mail_release
lab_fault lb1 forward "$LAB_SIZE"
lab_capture_start "$DEMO/captures"
demo_mail_go
sleep 9 # the receiving server gives up after six seconds
lab_capture_stop
mapfile -t files < <(lab_files "$DEMO/captures")
"$bin/droppoint" locate --html "$DEMO/report.html" --filter 'tcp port 25' "${files[@]}" || [ $? = 1 ] || exit 2
python3 - "$here" "$DEMO/report.html" "$out" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from browser import Browser
with Browser(1280, 900) as browser:
    browser.open(sys.argv[2])
    browser.wait("document.getElementById('ladder-view') && document.getElementById('ladder-view').dataset.scene", "the ladder")
    # The verdict, the path and the packets: what one looks at first.
    browser.run("""for (const name of ["findings", "segments", "course", "flows", "vantages", "about"]) {
        const section = document.getElementById(name);
        if (section)
            section.remove();
    }
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));""")
    browser.screenshot(sys.argv[3], whole=True)
    print("console:", browser.console(), "requests:", browser.requests())
END
[ -z "${KEEP_PAGE:-}" ] || cp "$DEMO/report.html" "$KEEP_PAGE"
echo "$out: $(stat -c %s "$out") bytes"
