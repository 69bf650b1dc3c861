#!/usr/bin/env bash
# usage: check_deps.sh [DIR]
#
# Checks that a folder includes only what stands below it: base <- kernels <- layers <- models <- engine,
# base <- net, base <- datasets, base <- monitor. net and kernels never see each other. tests and bench
# may include anything. Prints each include that runs upwards; exit status 1 if there is one.
set -euo pipefail
cd "${1:-"$(dirname "$0")/.."}"

declare -A below=(
    [base]="base"
    [kernels]="kernels base"
    [layers]="layers kernels base"
    [models]="models layers kernels base"
    [datasets]="datasets base"
    [net]="net base"
    [monitor]="monitor base"
    [engine]="engine models layers kernels datasets net monitor base"
)

bad=0
for folder in "${!below[@]}"; do
    [ -d "$folder" ] || continue
    while IFS=: read -r file line include; do
        target=${include#*\"}
        target=${target%%\"*}
        top=${target%%/*}
        if [ "$top" = "$target" ]; then
            echo "$file:$line: include \"$target\": write the path from the repository's root"
            bad=1
        elif [[ " ${below[$folder]} " != *" $top "* ]]; then
            echo "$file:$line: $folder includes \"$target\", but $folder may use only: ${below[$folder]}"
            bad=1
        fi
    done < <(grep -rnE --include='*.[ch]' --include='*.cu' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' \
        "$folder" || true)
done
exit $bad
