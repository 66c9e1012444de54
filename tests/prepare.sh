#!/bin/sh
# Installs the programs that the tests call and that are missing here, where that is allowed: as root, or by a sudo that
# asks for no password. Where it is not, says which tests will be skipped and ends well: the rest can run all the same.
#
#   tests/prepare.sh                     what the tests use
#   tests/prepare.sh make:make ...       these, each as program:Debian-package

wanted=${*:-'
    sipp:sip-tester
    baresip:baresip-core
    sipsak:sipsak
    ip:iproute2
    mandoc:mandoc
    telnet:inetutils-telnet
    ssh:openssh-client
    openssl:openssl
    kamailio:kamailio
    nft:nftables
    rtpengine:rtpengine-daemon
'}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing() {
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null || printf '%s ' "${pair#*:}"
    done
    # Debian keeps this part of the standard library in a package of its own.
    [ -d .venv ] || "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || printf 'python3-venv '
}

skipped() {
    echo '*********************************************************************************'
    echo "*** MISSING: $1"
    echo "*** $2"
    echo '*** The tests that need these are SKIPPED (with CI=true in the environment: FAILED).'
    echo '*********************************************************************************'
} >&2

packages=$(missing)
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root='sudo -n'
else
    skipped "$packages" "To install them: sudo apt-get install --no-install-recommends $packages"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    skipped "$packages" 'There is no apt-get here: install what these Debian packages hold.'
    exit 0
fi

echo "Installing for the tests: $packages"
# env: sudo clears the environment.
$root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages >/dev/null

# A server that came only for the tests need not run by itself: they start their own.
for server in kamailio rtpengine-daemon; do
    case " $packages " in
    *" $server "*) [ ! -d /run/systemd/system ] || $root systemctl disable --quiet --now "$server" || true ;;
    esac
done

packages=$(missing)
[ -z "$packages" ] || skipped "$packages" 'apt-get could not install them; it says why above.'
