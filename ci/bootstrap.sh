# What chainproof needs on this machine, and how it gets there. Sourced by ci/run, with $root set; only defines.
# Needs are tested for themselves (a program, an import, a file), not by package name: where they come from is all one.

# not $PATH, which may lack the sbin directories and may have a python3 without the distribution's bindings in front
programs="/usr/sbin /usr/bin /sbin /bin"
system_python=/usr/bin/python3
apt_lists=/var/lib/apt/lists
os_release=/etc/os-release
python_minor=11

say() { printf 'ci/run: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# The table of needs. First column: venv (all verbs), unit (also the harness's own tests), run (also VMs),
# trees (also other releases than this machine's), clients (also programs of others that are run against a release).
# Names for other distributions than Debian and Ubuntu are from memory: not verified.
#     kind    name                           Debian, Ubuntu             Fedora                     Arch              openSUSE
needs() {
    cat <<'EOT'
venv  import  ensurepip                      python3-venv               python3                    python            python3
venv  import  libvirt                        python3-libvirt            python3-libvirt            libvirt-python    python3-libvirt-python
venv  program flock                          util-linux                 util-linux                 util-linux        util-linux
unit  import  guestfs                        python3-guestfs            python3-libguestfs         libguestfs        python3-libguestfs
unit  import  nbd                            python3-libnbd             python3-libnbd             libnbd            python3-libnbd
unit  program setpriv                        util-linux                 util-linux                 util-linux        util-linux
unit  program qemu-storage-daemon            qemu-system-common         qemu-img                   qemu-base         qemu
unit  program qemu-img                       qemu-utils                 qemu-img                   qemu-img          qemu-img
run   program libvirtd                       libvirt-daemon             libvirt-daemon             libvirt           libvirt-daemon
run   library libvirt/connection-driver/libvirt_driver_qemu.so  libvirt-daemon-driver-qemu  libvirt-daemon-driver-qemu  libvirt  libvirt-daemon-driver-qemu
run   library libvirt/connection-driver/libvirt_driver_secret.so  ~n^libvirt-daemon-driver-secret$  libvirt-daemon-driver-secret  libvirt  libvirt-daemon-driver-secret
run   program virsh                          libvirt-clients            libvirt-client             libvirt           libvirt-client
run   program qemu-system-x86_64             qemu-system-x86            qemu-system-x86-core       qemu-system-x86   qemu-x86
unit  program bwrap                          bubblewrap                 bubblewrap                 bubblewrap        bubblewrap
unit  program busybox                        busybox-static             busybox                    busybox           busybox-static
unit  program dumb-init                      dumb-init                  dumb-init                  dumb-init         dumb-init
unit  program nsenter                        util-linux                 util-linux                 util-linux        util-linux
run   program cpio                           cpio                       cpio                       cpio              cpio
run   program lz4                            lz4                        lz4                        lz4               lz4
run   program zstd                           zstd                       zstd                       zstd              zstd
run   program depmod                         kmod                       kmod                       kmod              kmod
run   program mke2fs                         e2fsprogs                  e2fsprogs                  e2fsprogs         e2fsprogs
run   program ldd                            libc-bin                   glibc-common               glibc             glibc
run   program apt-get                        apt                        apt                        apt               -
run   program dpkg-deb                       dpkg                       dpkg                       dpkg              dpkg
run   lists   apt                            -                          -                          -                 -
trees program mmdebstrap                     mmdebstrap                 mmdebstrap                 -                 -
trees keyring debian-archive-keyring.gpg     debian-archive-keyring     debian-keyring             debian-archive-keyring  -
clients program virtnbdbackup                virtnbdbackup              -                          -                 -
clients program openssl                      openssl                    openssl                    openssl           openssl
clients program nbdcopy                      libnbd-bin                 libnbd                     libnbd            libnbd
EOT
}

has_program() {
    for directory in $programs; do
        [ ! -x "$directory/$1" ] || return 0
    done
    return 1
}

has_library() {
    for file in /usr/lib/*/"$1" /usr/lib64/"$1" /usr/lib/"$1"; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

has_keyring() { [ -e "/usr/share/keyrings/$1" ]; }

has_import() {
    case " $unimportable " in *" $1 "*) return 1 ;; esac
}

# the guest is built from packages: apt must know them
has_lists() {
    for file in "$apt_lists"/*_Packages*; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

# look LEVEL: sets $lacking (kind:name ...) and $python_version
look() {
    level=$1
    modules=
    while read -r for kind name _; do
        if wanted "$for" && [ "$kind" = import ]; then modules="$modules $name"; fi
    done <<EOT
$(needs)
EOT
    python_version=
    unimportable=$modules
    if [ -x "$system_python" ]; then
        # shellcheck disable=SC2086
        answer=$("$system_python" -I -c '
import importlib, sys
print("%d.%d.%d" % sys.version_info[:3])
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        print(name)
' $modules) || answer=
        # shellcheck disable=SC2086
        set -- $answer
        python_version=${1-}
        [ $# -eq 0 ] || { shift; unimportable=$*; }
    fi
    lacking=
    while read -r for kind name _; do
        ! wanted "$for" || "has_$kind" "$name" || lacking="$lacking $kind:$name"
    done <<EOT
$(needs)
EOT
}

# wanted FOR: does the first column of a need include the level that is looked at?
wanted() {
    case $level:$1 in venv:unit | venv:run | unit:run | venv:trees | unit:trees | run:trees | [vurt]*:clients) return 1 ;; esac
}

# packages COLUMN: what has everything that is lacking; 1 is Debian's name, 2 Fedora's, 3 Arch's, 4 openSUSE's
packages() {
    column=$1
    found=
    while read -r _ kind name debian fedora arch suse; do
        case " $lacking " in *" $kind:$name "*) ;; *) continue ;; esac
        case $column in 1) package=$debian ;; 2) package=$fedora ;; 3) package=$arch ;; *) package=$suse ;; esac
        case " $found - " in *" $package "*) ;; *) found="$found $package" ;; esac
    done <<EOT
$(needs)
EOT
    echo "${found# }"
}

# what_lacks: the needs by their names, for people
what_lacks() {
    for need in $lacking; do
        case $need in
            import:*) printf '%s' "${need#*:} of Python" ;;
            lists:*) printf '%s' "apt's package lists" ;;
            *) printf '%s' "${need##*[:/]}" ;;
        esac
        printf '\n'
    done | sed ':a;N;$!ba;s/\n/, /g'
}

# os FIELD: of /etc/os-release
os() {
    ID='' ID_LIKE='' PRETTY_NAME=''
    # shellcheck disable=SC1090
    [ ! -r "$os_release" ] || . "$os_release"
    case $1 in
        id) echo "$ID" ;;
        like) echo "$ID $ID_LIKE" ;;
        *) echo "${PRETTY_NAME:-an unknown distribution}" ;;
    esac
}

is_debian() {
    case " $(os like) " in *" debian "* | *" ubuntu "*) ;; *) return 1 ;; esac
}

# install_line: the command line that installs what is lacking, for people
install_line() {
    if is_debian; then
        names=$(packages 1)
        has_lists && update='' || update='apt-get update'
        install=${names:+"apt-get install --no-install-recommends $names"}
        echo "$update${update:+${install:+ && }}$install"
    else
        case " $(os like) " in
            *" fedora "* | *" rhel "*) echo "dnf install $(packages 2)" ;;
            *" arch "*) echo "pacman -S $(packages 3)" ;;
            *" suse "* | *" opensuse "*) echo "zypper install $(packages 4)" ;;
            *) echo "install what Debian calls $(packages 1)" ;;
        esac
    fi
}

# become_root: sets $sudo to what makes a command run as root, or fails
become_root() {
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    elif command -v sudo >/dev/null && [ -t 0 ] && [ -t 2 ]; then
        sudo=sudo
    else
        return 1
    fi
}

# step WHAT LOG COMMAND...: runs it, says what it does and how long it took; its output goes to LOG
step() {
    what=$1
    log=$2
    shift 2
    began=$(date +%s)
    printf 'ci/run: %s ... ' "$what" >&2
    if "$@" >"$log" 2>&1; then
        echo "$(($(date +%s) - began)) s" >&2
    else
        echo "failed after $(($(date +%s) - began)) s; the end of $log:" >&2
        tail -n 25 "$log" >&2
        return 1
    fi
}

# No service is started: Debian 13's libvirt-daemon would start libvirtd. (That package also enables it for the next
# boot, as the distribution's administrator would expect; chainproof's own daemons do not care.)
apt() {
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 SYSTEMD_OFFLINE=1 RUNLEVEL=1 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" </dev/null
}

apt_update() { step "reading the package lists" "$cache/apt-update.log" apt update; }

install_lacking() {
    has_lists || apt_update || return 1
    names=$(packages 1)
    [ -n "$names" ] || return 0
    # shellcheck disable=SC2086
    set -- $names
    step "installing $# packages ($names)" "$cache/apt-install.log" apt install "$@" && return
    # the lists may be older than what the mirror still has
    apt_update && step "installing $# packages again" "$cache/apt-install.log" apt install "$@"
}

find_cache() {
    # without HOME, as from cron or a container: the one that the user database has
    home=${HOME:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)}
    [ -n "${CHAINPROOF_CACHE:-${XDG_CACHE_HOME:-$home}}" ] || fail "there is no home directory: set CHAINPROOF_CACHE"
    cache=${CHAINPROOF_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/chainproof}
    case $cache in /*) ;; *) cache=$(pwd)/$cache ;; esac
    export CHAINPROOF_CACHE="$cache"
}

make_cache() {
    mkdir -p "$cache" 2>/dev/null || true
    [ -w "$cache" ] || fail "the cache directory $cache cannot be written; set CHAINPROOF_CACHE to one that can"
}

# provide LEVEL: everything that is needed for it is there afterwards, and $venv is the Python environment
provide() {
    machine=$(uname -m)
    case $1 in venv | unit) ;; *) [ "$machine" = x86_64 ] ;; esac || fail "VMs need an x86_64 machine; this is $machine"
    look "$1"
    if [ -n "$lacking" ]; then
        is_debian || fail "lacking: $(what_lacks). chainproof installs itself on Debian and Ubuntu only, and builds its" \
            "guest with apt; this is $(os name). Package names from memory, not verified: $(install_line)"
        become_root || fail "lacking: $(what_lacks). Run as root: $(install_line)"
        make_cache
        (
            flock 9
            look "$1" # another run may have just installed it
            install_lacking
        ) 9>"$cache/install.lock" || fail "could not install what is lacking: $(what_lacks). By hand: $(install_line)"
        look "$1"
        [ -z "$lacking" ] || fail "still lacking after the installation: $(what_lacks)"
    fi
    ! old_python ||
        fail "Python 3.$python_minor or newer is needed, $system_python is $python_version (Debian 12 and Ubuntu 24.04 have it)"
    find_venv || make_venv
    [ -w "$root" ] || caches_elsewhere
}

# provide_mutation: the tool that only `ci/run mutants` needs is in $venv
provide_mutation() {
    [ ! -x "$venv/bin/mutmut" ] || return 0
    [ -w "$venv" ] || fail "the Python environment $venv cannot be written"
    step "installing the mutation tool in $venv" "$venv/mutation.log" fill_mutation ||
        fail "could not install the mutation tool"
}

fill_mutation() {
    tools=$("$venv/bin/python" -I - "$root/pyproject.toml" <<'EOT'
import sys, tomllib

with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"]["mutation"], sep="\n")
EOT
    ) || return 1
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install --no-input --disable-pip-version-check $tools
}

old_python() {
    minor=${python_version#*.}
    [ "${minor%%.*}" -lt "$python_minor" ]
}

# find_venv: sets $venv; fails if it must be made (anew): it is whole once its stamp is there
find_venv() {
    stamp="$(cksum <"$root/pyproject.toml") Python $python_version $root"
    venv=$root/.venv
    stamped && return
    # a checkout that we cannot write to: someone else's
    [ -w "$root" ] || venv=$cache/venv-$(printf '%s' "$root" | cksum | cut -d' ' -f1)
    stamped
}

stamped() {
    seen=
    [ ! -r "$venv/chainproof-stamp" ] || IFS= read -r seen <"$venv/chainproof-stamp" || true
    [ "$seen" = "$stamp" ] && [ -x "$venv/bin/python" ]
}

make_venv() {
    [ -w "$root" ] || make_cache
    (
        flock 9
        stamped && exit
        # what a build that was killed, or an older state of pyproject.toml, left behind
        rm -rf "$venv" && mkdir "$venv" &&
            step "installing Python packages in $venv" "$venv/install.log" fill_venv && echo "$stamp" >"$venv/chainproof-stamp"
    ) 9>"$venv.lock" || fail "could not make the Python environment $venv"
}

# The checkout is put on the path by a .pth file and not by `pip install -e .`, which writes into the checkout
# (it may be someone else's) and downloads a build backend.
fill_venv() {
    # system-site-packages: libvirt's and libguestfs's bindings are the distribution's
    "$system_python" -m venv --system-site-packages "$venv" &&
        "$venv/bin/python" -I - "$root" "$venv/requirements.txt" <<'EOT' &&
import pathlib, sys, sysconfig, tomllib

root, requirements = map(pathlib.Path, sys.argv[1:])
project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
requirements.write_text("".join(f"{line}\n" for line in wanted))
pathlib.Path(sysconfig.get_path("purelib"), "chainproof.pth").write_text(f"{root}\n")
EOT
        "$venv/bin/python" -m pip install --no-input --disable-pip-version-check -r "$venv/requirements.txt"
}

# in a checkout that we cannot write to, the tools keep what they remember beside the environment, or in the cache
caches_elsewhere() {
    remembered=$venv/cache
    [ -w "$venv" ] || remembered=$cache/tools
    export MYPY_CACHE_DIR="$remembered/mypy" RUFF_CACHE_DIR="$remembered/ruff"
    export HYPOTHESIS_STORAGE_DIRECTORY="$remembered/hypothesis" PYTHONDONTWRITEBYTECODE=1
    export CHAINPROOF_PYTEST_CACHE="$remembered/pytest"
}
