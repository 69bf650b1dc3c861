#!/usr/bin/env bash
# scripts/fetch_data.sh without a network: curl and md5sum are stand-ins. "curl" serves files out of
# $work/web, as much of them at once as $work/bytes says, or fails as $work/fails says; "md5sum"
# knows as right what ends in the word "whole", and any archive that unpacks. Speaks as cmocka does.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
cd "$work" || exit 1
mkdir bin web

cat >bin/curl <<'T'
#!/usr/bin/env bash
here=$(dirname "$0")/..
for url in "$@"; do :; done
while [ $# -gt 1 ]; do [ "$1" != --output ] || to=$2; shift; done
echo "$url" >>"$here/asked"
[ ! -s "$here/fails" ] || exit "$(cat "$here/fails")"
have=0
[ ! -f "$to" ] || have=$(stat -c %s "$to")
from=$here/web/${url##*/}
tail -c +$((have + 1)) "$from" | head -c "$(cat "$here/bytes" 2>/dev/null || echo 1000000)" >>"$to"
[ "$(stat -c %s "$to")" = "$(stat -c %s "$from")" ] || exit 18
T
cat >bin/md5sum <<'T'
#!/usr/bin/env bash
name=$(basename "${1%.part}")
folder=$(basename "$(dirname "$1")")
right=$(sed -n "/files $folder /,/;;/p; /archive /,/;;/p" "$SCRIPT" |
    grep -A 1 -F "$name" | grep -oE '[0-9a-f]{32}' | head -n 1)
if [ "$(tail -c 5 "$1")" = whole ] || tar -tzf "$1" >/dev/null 2>&1; then
    echo "$right  $1"
else
    echo "00000000000000000000000000000000  $1"
fi
T
chmod +x bin/*
export SCRIPT=$root/scripts/fetch_data.sh PATH="$work/bin:$PATH"
unset SPARSE_DATA_DIR

expect() { # WHAT WANTED GOT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '[  FAILED  ] %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    fi
}

fetch() { # WORD... -- ARGUMENT...: the exit status, and each word that the output lacks
    local words=()
    while [ "$1" != -- ]; do words+=("$1"); shift; done
    shift
    : >asked
    "$SCRIPT" "$@" >out 2>&1
    echo "$?"
    for word in "${words[@]}"; do
        grep -qF -- "$word" out || echo "no \"$word\" in: $(cat out)"
    done
}

files() {
    (cd "$1" && find . -type f | sort | tr '\n' ' ')
}

for split in train t10k; do
    for kind in images-idx3 labels-idx1; do
        printf '%s %s is whole' $split $kind >web/$split-$kind-ubyte.gz
    done
done
mkdir cifar-10-batches-bin
touch cifar-10-batches-bin/{data_batch_{1,2,3,4,5},test_batch}.bin
tar -czf web/cifar-10-binary.tar.gz cifar-10-batches-bin

echo 6 >fails
expect "no network is no failure" 0 "$(fetch "no network" "--dataset shapes" -- cifar10 mnist d)"
expect "and asks once" 1 "$(wc -l <asked)"
expect "nor of another" 0 "$(fetch "no network" -- samples d)"
expect "and leaves nothing" "" "$(ls -A d)"
echo 22 >fails
expect "another failure is one" 1 "$(fetch "curl ended with 22" -- cifar10 mnist d)"
: >fails

expect "an archive" 0 "$(fetch "d/cifar-10-batches-bin is there" -- cifar10 d)"
expect "its files" 6 "$(files d | wc -w)"
expect "there already" 0 "$(fetch "is there" -- d)"
expect "not asked for again" 0 "$(wc -l <asked)"
rm d/cifar-10-batches-bin/test_batch.bin
expect "half of it there" 1 "$(fetch "not its test_batch.bin" -- cifar10 d)"

echo 10 >bytes
expect "broken off" 1 "$(fetch "curl ended with 18" -- mnist d)"
expect "what came is kept" 10 "$(stat -c %s d/mnist/train-images-idx3-ubyte.gz.part)"
rm bytes
expect "goes on" 0 "$(fetch "d/mnist is there" -- mnist d)"
expect "whole" "train images-idx3 is whole" "$(cat d/mnist/train-images-idx3-ubyte.gz)"
expect "all four" 4 "$(files d/mnist | wc -w)"
rm d/mnist/t10k*
expect "only what is missing" 0 "$(fetch "is there" -- mnist d)"
expect "two of four" 2 "$(wc -l <asked)"

printf 'something else' >web/train-images-idx3-ubyte.gz
expect "a wrong sum" 1 "$(SPARSE_DATA_DIR=e fetch "MD5 is 000" "was wanted" -- fashion-mnist)"
expect "is not kept" "" "$(files e)"
expect "an unknown option" 2 "$(fetch "no option --x" usage -- --x)"

rm -f web/*
printf 'the weights are whole' >web/yolov3.weights
printf 'the dog is whole' >web/dog.jpg
echo 6 >fails
expect "no network, no weights: quiet" "" "$("$SCRIPT" --quiet yolov3 f 2>&1 | grep -v fetching)"
: >fails
echo 10 >bytes
expect "weights broken off" 1 "$(fetch "curl ended with 18" -- yolov3 f)"
rm bytes
expect "weights go on" 0 "$(fetch "f/weights is there" -- yolov3 f)"
expect "weights whole" "the weights are whole" "$(cat f/weights/yolov3.weights)"
expect "a picture that is not served" 1 "$(fetch "curl ended with" -- samples f)"
expect "and one that is" "the dog is whole" "$(cat f/samples/dog.jpg)"

# What the run targets ask for. Debian's pictures, where they are, stand in for fetched ones.
files_for() { # WORD...
    SPARSE_DATA_DIR=$work/g "$root/scripts/detector_files.sh" "$@" 2>said
}
echo 6 >fails
expect "no network: fresh weights" "" "$(files_for weights)"
expect "said in one line" 1 "$(grep -c "a benchmark with fresh weights follows" said)"
: >fails
expect "words to load them" "--weights $work/g/weights/yolov3.weights" "$(files_for weights)"
: >asked
expect "and again, without asking" "--weights $work/g/weights/yolov3.weights" "$(files_for weights --model YOLOv3)"
expect "weights that are given" "" "$(files_for weights --weights mine)"
expect "a model of no publisher" "" "$(files_for both --model small)"
expect "no download" "" "$(FETCH=0 files_for weights --model yolov3-tiny)"
expect "nobody was asked" 0 "$(wc -l <asked)"

if [ $failed -gt 0 ]; then
    printf '[  PASSED  ] %s test(s).\n[  FAILED  ] %s test(s), listed below:\n' $passed $failed
    exit 1
fi
printf '[  PASSED  ] %s test(s).\n' $passed
