# What this machine has and lacks. Sourced by ci/run after bootstrap.sh; installs nothing, works without Python.

line() { printf '%-16s%s\n' "$1" "$2"; }

doctor() {
    status=0
    machine=$(uname -m)
    line distribution "$(os name), $machine"
    [ "$machine" = x86_64 ] || { line problem "VMs need an x86_64 machine"; status=1; }
    look run
    line Python "${python_version:-not installed} ($system_python)"
    if ! has_import libvirt; then
        line problem "no versions are shown: that needs Python and its libvirt"
        status=1
    elif old_python; then
        line problem "Python 3.$python_minor or newer is needed"
        status=1
    elif find_venv; then
        line environment "$venv"
        "$venv/bin/python" -m harness.doctor || status=1
    else
        line environment "none yet; ci/run makes it: $venv"
        "$system_python" -m harness.doctor || status=1
    fi
    if [ -n "$lacking" ]; then
        status=1
        line missing "$(what_lacks)"
        if is_debian; then
            line "install with" "$(install_line)   (as root; ci/run procedure does it)"
        else
            line "install with" "$(install_line)   (names not verified)"
            line problem "the guest is built with apt: only Debian and Ubuntu have what that needs"
        fi
    else
        line missing nothing
    fi
    if [ $status -eq 0 ]; then
        line verdict "a run is possible"
    else
        line verdict "a run is not possible as things are"
    fi
    return $status
}
