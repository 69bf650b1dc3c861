#!/usr/bin/env bash
# usage: lint.sh [quick]
#
# All checks of the source, each run even if one before failed: include directions, file sizes and
# head comments, line width, formatting, shellcheck, and (not with quick) clang-tidy and cppcheck.
# Versions are pinned where the answer depends on them: clang 14.
# shellcheck disable=SC2317 # the functions are called by check
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

mapfile -t sources < <(git ls-files '*.c' '*.h' '*.cu' '*.cpp')
mapfile -t c_files < <(git ls-files '*.c')
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
flags=(-I. -D_GNU_SOURCE -DHAVE_LIBURING -DHAVE_MICROHTTPD=1 -DISA=plain -DISA_plain '-DSPARSE_VERSION="0"')
failed=0

check() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    if "$@"; then
        echo "  ok $name ($((SECONDS - start)) s)"
    else
        echo "FAIL $name"
        failed=1
    fi
}

# About 400 lines at most, for tests half as many more; a comment first, 100 columns, no tabs.
check_files() {
    awk '
        FNR == 1 {most = FILENAME ~ /^tests\// ? 650 : 450}
        FNR == 1 && !/^\/\*/ {print FILENAME ":1: starts with no head comment"; bad = 1}
        length > 100 {print FILENAME ":" FNR ": " length " columns, 100 are allowed"; bad = 1}
        /\t/ {print FILENAME ":" FNR ": a tab"; bad = 1}
        FNR == most + 1 {print FILENAME ": more than " most " lines: split it"; bad = 1}
        END {exit bad}' "${sources[@]}"
}

# CUDA's headers are the emulated GPU's, which every machine has; a tool that is compiled beside darknet is
# left out where darknet's header is not.
check_tidy() {
    local darknet=/usr/lib/darknet/include left_out=tests/tools/darknet_detect.c
    [ ! -e "$darknet/darknet.h" ] || left_out=none
    printf '%s\n' "${c_files[@]}" | grep -vxF "$left_out" | xargs -P "$(nproc)" -I {} clang-tidy-14 --quiet {} -- \
        -std=gnu11 -isystem tests/emu -isystem "$darknet" "${flags[@]}" 2>/dev/null
}

# Suppressed: POSIX lets NULL end an argument list; a softmax over no classes is not called.
check_cppcheck() {
    cppcheck --quiet --std=c11 --language=c -j "$(nproc)" --inline-suppr --error-exitcode=1 \
        --enable=warning,performance,portability --suppress=missingIncludeSystem \
        --suppress=varFuncNullUB --suppress=invalidFunctionArg \
        "${flags[@]}" "${c_files[@]}"
}

# The names of files that `make format` would change.
check_format() {
    local changed
    changed=$(printf '%s\n' "${sources[@]}" |
        xargs -P "$(nproc)" -n 40 "$formatter" --dry-run --Werror 2>&1 |
        sed -n 's/^\([^: ]*\):[0-9].*/\1: run make format/p' | sort -u)
    [ -z "$changed" ] || { echo "$changed" && return 1; }
}

formatter=$(command -v clang-format-14 || echo clang-format)
check "include directions" scripts/check_deps.sh
check "files" check_files
check "formatting" check_format
check "shell scripts" shellcheck "${scripts[@]}"
if [ "${1:-}" != quick ]; then
    check "cppcheck" check_cppcheck
    check "clang-tidy" check_tidy
fi
exit $failed
