#!/usr/bin/env bash
# usage: gpu_check.sh [--emulated] [PART...]        (make gpu-check)
#
# What a machine with a GPU has to show, in under ten minutes: doctor; the whole test suite with the engine on the GPU;
# losses and predictions beside the CPU's, and twice the same bytes; a split over two processes on the one GPU;
# compute-sanitizer; each kernel beside the card's ceiling; training and inference beside PyTorch. PARTs: some of
# them. Each part has its time, and ends as ok, FAIL or skipped with the reason; then a summary in Markdown, as
# SPEED.md wants it. All is kept in build/gpu-check. PYTHON names a Python with PyTorch for CUDA,
# COMPUTE_SANITIZER that tool, where it is in neither PATH nor /usr/local/cuda/bin.
# Exit status: 0, 1 where a part failed, 77 where there is no GPU.
# --emulated: the same on MODE=emu's build, with small models: that proves this script, and measures nothing.
# shellcheck disable=SC2317,SC2086,SC2154,SC2031 # parts are called by name; words; nodes.sh in a subshell
# shellcheck source=tests/nodes.sh
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
all_parts="tests numbers split sanitizer kernels peers"
build=build/release engine=build/sparse-engine mode=release emulated='' one=''
while [[ "${1:-}" = --* ]]; do
    case $1 in
    --emulated) emulated=1 mode=emu build=build/emu engine=build/emu/sparse-engine ;;
    --part) one=1 ;; # one part, by this script itself
    *) sed -n 's/^# \(usage.*\)/\1/p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
out=${GPU_CHECK_OUT:-$PWD/build/gpu-check}
lines=$out/lines.jsonl
python=${PYTHON:-python3}
export SPARSE_ENGINE=$PWD/$engine SPARSE_DEVICE=cuda SPARSE_DATA_DIR=$out/data
unset MASTER_UPSTREAM_HOST MASTER_UPSTREAM_PORT WORKER_LISTEN_ADDRESS WORKER_LISTEN_PORT

# What is run: on a card, or emulated.
tests_only='' train_models="small vgg11" train_words="--batch-size 16 --batches 8"
detectors="yolov3-tiny yolov3 shapes-yolo" split_model=vgg11 split_words="--batch-size 64 --batches 6"
bench_words="--seconds 0.1" bench_only='' works="vgg11:1 vgg11:8 vgg11:64 yolov3:1:infer yolov3:8:infer yolov3:64:infer"
torch_device=cuda step_seconds=2
sanitized='elementwise|pool2d|batchnorm|gemm|linear|cuda_tensor|conv2d|conv_transpose2d|cuda_kernels|cuda_queue'
if [ -n "$emulated" ]; then
    tests_only="--only device_cuda" train_models=small train_words="--batch-size 4 --batches 2"
    detectors=tests/fixtures/detector.cfg split_model=small split_words="--batch-size 8 --batches 2"
    bench_words="--seconds 0.01" bench_only="relu in" works="small:2 small:1:infer" torch_device=cpu step_seconds=0.1
    sanitized=device_cuda
fi

reason() { # WORD...: the last one counts, for the summary
    echo "$*" | tee "$out/reason"
}

# ---- the parts: 0 ok, 77 skipped, else FAIL ----

# The programs that need no GPU run too: it is the whole suite.
part_tests() {
    TEST_LOGS=$out/test-logs TEST_TIMEOUT=120 scripts/run_tests.sh $tests_only $mode | tee "$out/tests.txt"
    local status=$?
    reason "$(tail -n 1 "$out/tests.txt")"
    return $status
}

# Same seed: the GPU's losses differ from the CPU's by rounding alone, two of its runs not at all. The rates are
# as large as lets them: a gradient that is off by a percent shows, while rounding does not grow to be seen.
losses() { # MODEL
    local run device rate=0.003
    [ "$1" != small ] || rate=0.1
    for run in a b c; do
        device=cuda
        [ $run != c ] || device=cpu
        $engine train --model "$1" --dataset shapes --lr $rate $train_words --dropout 0 --no-monitor --quiet --device $device \
            --log "$out/$1.$run" >&2 || return 1
    done
    cmp "$out/$1.a" "$out/$1.b" || return 1
    paste -d, "$out/$1.a" "$out/$1.c" | awk -F, -v model="$1" -v steps="${train_words##* }" '
        NR > 1 {d = $2 - $4; if (d < 0) d = -d; if (!(d <= most)) most = d; n++}
        END {printf "%s: losses within %.2g of the CPU'"'"'s (1e-4 is allowed); ", model, most
            exit !(n == steps && most <= 1e-4)}'
}

floats() { # FILE: of a safetensors file with one tensor
    local head
    head=$(od -An -tu8 -N8 "$1") && tail -c +$((head + 9)) "$1" | od -An -v -w4 -tf4
}

# Fresh weights fade out on their way through a detector: scores would all be one half, whatever is computed. Larger
# factors of the batch-norms keep them apart.
amplify() { # FILE FACTOR
    perl -e 'my ($file, $factor) = @ARGV;
        open(my $f, "+<", $file) or die "$file: $!"; binmode $f;
        read($f, my $n, 8); $n = unpack("Q<", $n); read($f, my $head, $n);
        while ($head =~ /batch_norm_\d+\.weight": ?\{[^}]*"data_offsets": ?\[(\d+), ?(\d+)\]/g) {
            seek($f, 8 + $n + $1, 0); print $f pack("f<", $factor) x (($2 - $1) / 4); $found++;
        }
        close($f) && $found or die "$file: no batch-norm\n";' "$1" "$2"
}

predictions() { # MODEL
    local run device name width words=()
    name=$(basename "$1")
    if [ "$1" != shapes-yolo ]; then
        $engine init --model "$1" --seed 5 --device cpu --save "$out/$name.weights.safetensors" >&2 ||
            return 1
        amplify "$out/$name.weights.safetensors" "$([ "$name" = yolov3 ] && echo 1.7 || echo 3.2)" || return 1
        words=(--weights "$out/$name.weights.safetensors" --images tests/fixtures/picture.png)
    fi
    for run in a b c; do
        device=cuda
        [ $run != c ] || device=cpu
        $engine infer --model "$1" "${words[@]}" --inferences 2 --no-monitor --quiet --device $device \
            --output "$out/$name.$run" >&2 || return 1
    done
    rm -f "$out/$name.weights.safetensors"
    cmp "$out/$name.a" "$out/$name.b" || return 1
    width=$(head -c 300 "$out/$name.a" | grep -aoE '"shape": ?\[[0-9, ]+' | grep -oE '[0-9]+$')
    paste <(floats "$out/$name.a") <(floats "$out/$name.c") | awk -v model="$name" -v width="${width:-0}" '
        {score = width && (NR - 1) % width >= 4} # a row: x, y, width, height in pixels; then scores
        NF != 2 || $1 - $1 != 0 || $2 - $2 != 0 {bad = 1}
        {error[score] += ($1 - $2) * ($1 - $2); sum[score] += $2 * $2}
        END {if (NR < 1000 || bad || !(sum[0] > 0 && sum[1] > 0)) exit 1
            for (i = 0; i < 2; i++) error[i] /= sum[i]
            printf "%s: NMSE of boxes %.2g (1e-8), of scores %.2g (1e-10); ", model, error[0], error[1]
            exit !(error[0] <= 1e-8 && error[1] <= 1e-10)}'
}

all_numbers() {
    local model
    for model in $train_models; do
        losses "$model" || { echo "differs: training $model" && return 1; }
    done
    for model in $detectors; do
        predictions "$model" || { echo "differs: $model" && return 1; }
    done
    echo "twice the same bytes"
}

part_numbers() {
    all_numbers >"$out/numbers.txt"
    local status=$?
    reason "$(paste -sd' ' "$out/numbers.txt")"
    return $status
}

# Two processes on the one GPU: the bits of one with as many micro-batches, and nine tenths of its speed.
part_split() {
    local cut speed batches=2
    cut=$($engine inspect --model $split_model --json | grep -o '"default_cut": *[0-9]*' | grep -o '[0-9]*$')
    (
        source tests/nodes.sh
        run="train --model $split_model --dataset shapes --no-monitor --micro-batches 4 $split_words"
        serve last train --model $split_model --role final --layers "$cut:" && expect 0 $run --log whole.csv &&
            expect 0 $run --role client --layers ":$cut" --upstream "127.0.0.1:$port" --log split.csv &&
            cmp whole.csv split.csv && end_workers
    ) || { reason "a node failed, or the losses are not all-in-one's: see split.log" && return 1; }
    if [ -z "$emulated" ]; then # as many as fill two seconds
        speed=$($engine train --model $split_model --dataset shapes --no-monitor --batches 30 |
            sed -n 's/.*, \([0-9.]*\) samples\/s; loss.*/\1/p')
        batches=$(awk -v s="${speed:-0}" 'BEGIN {n = int(2 * s / 64); print n < 8 ? 8 : n > 3000 ? 3000 : n}')
    fi
    SUITES="aio aio-micro client-final" MICRO_BATCHES=4 BATCHES=$batches ROUNDS=3 ENGINE=$engine \
        bench/bench_split.sh $split_model | tee "$out/split.txt" >>"$lines" || return 1
    reason "same losses; $(awk -f bench/gpu_table.awk -v table=split "$out/split.txt")"
    [ -n "$emulated" ] || awk -f bench/gpu_table.awk -v table=split -v least=0.9 "$out/split.txt" >/dev/null
}

sanitize() { # TOOL PROGRAM...
    local tool=$1 name status
    shift
    name=$tool-$(basename "$1")
    # API errors: tests provoke them, the engine looks at each itself
    timeout 100 "$(sanitizer)" --tool "$tool" --error-exitcode 99 --report-api-errors no --target-processes all \
        --log-file "$out/$name.log" "$@" >"$out/$name.out" 2>&1
    status=$?
    [ $status = 0 ] && return 0
    [ $status = 124 ] && echo "$tool $*: not done in 100 s" && return 1
    echo "$tool $*: status $status"
    tail -n 15 "$out/$name.log" "$out/$name.out" 2>/dev/null
    return 1
}

sanitizer() {
    command -v "${COMPUTE_SANITIZER:-compute-sanitizer}" ||
        { [ -z "${COMPUTE_SANITIZER:-}" ] && compgen -G /usr/local/cuda/bin/compute-sanitizer; }
}

part_sanitizer() {
    local programs=() tool program jobs status count
    sanitizer >/dev/null || { reason "no compute-sanitizer here: it comes with the CUDA toolkit" && return 77; }
    for program in $(scripts/gpu_tests.sh | grep -E "/test_($sanitized)\.c"); do
        programs+=("$build/${program%.c}")
    done
    programs+=("$engine train --model small --dataset shapes --batches 3 --batch-size 4 --quiet --no-monitor")
    [ -n "$emulated" ] || programs+=("$engine infer --model shapes-yolo --inferences 2 --quiet --no-monitor")
    jobs=$(nproc)
    export -f sanitize sanitizer
    export out
    # shellcheck disable=SC2016 # expanded there
    for tool in memcheck racecheck initcheck; do
        printf "$tool %s\n" "${programs[@]}"
    done | xargs -P $((jobs < 8 ? jobs : 8)) -L 1 bash -c 'sanitize "$@"' sanitize | tee "$out/sanitizer.txt"
    status=$?
    count=$((3 * ${#programs[@]}))
    reason "memcheck, racecheck, initcheck: $((count - $(grep -c ': status \|: not done' "$out/sanitizer.txt"))) of $count runs clean"
    return $status
}

# No target of its own: what matters is the table.
part_kernels() {
    local bench words only=("$bench_only")
    [ -z "$emulated" ] || only=("$bench_only" "gemm 256" "none")
    : >"$out/kernels.txt"
    for bench in "$build"/bench/bench_cuda*; do
        [[ -x $bench && $bench != *.* ]] || continue
        words=${only[0]}
        only=("${only[@]:1}" '')
        "$bench" $bench_words ${words:+--only "$words"} >>"$out/kernels.txt" || {
            reason "$bench failed: see kernels.log" && return 1
        }
    done
    cat "$out/kernels.txt" >>"$lines"
    grep -q '"ratio"' "$out/kernels.txt" || { reason "no bench printed a line" && return 1; }
    reason "$(grep -c '"ratio"' "$out/kernels.txt") measured, see the table"
}

# Which PyTorch: its version, and whether it compiles.
torch_there() {
    "$python" -c 'import sys, torch
if sys.argv[1] == "cuda" and not torch.cuda.is_available():
    sys.exit(1)
print(torch.__version__, "compiled" if hasattr(torch, "compile") else "")' $torch_device 2>/dev/null
}

rival() { # WORK MODE SECONDS
    local model batch infer
    IFS=: read -r model batch infer <<<"$1"
    TORCHINDUCTOR_CACHE_DIR=$out/inductor TORCHINDUCTOR_FX_GRAPH_CACHE=1 "$python" bench/peers_torch.py \
        --model "$model" --batch "$batch" ${infer:+--infer} --mode "$2" --device $torch_device --seconds "$3"
}

# What torch.compile makes is kept in its cache, so that it need not be waited for afterwards.
compile_ahead() {
    local work model
    for model in vgg11 yolov3; do
        for work in $works; do
            [[ $work != $model:* ]] || rival "$work" compiled 0 >/dev/null 2>&1
        done &
    done
    wait
}

part_peers() {
    local version compiles work model batch infer status=0 verdict
    read -r version compiles < <(torch_there) || {
        reason "no PyTorch for CUDA in $python: python3 -m venv V, V/bin/pip install torch, then PYTHON=V/bin/python"
        return 77
    }
    : >"$out/peers.txt"
    for work in $works; do
        IFS=: read -r model batch infer <<<"$work"
        "$build/bench/bench_train" --device cuda --model "$model" --batch "$batch" ${infer:+--infer} \
            --seconds $step_seconds >>"$out/peers.txt" || status=1
        rival "$work" eager $step_seconds >>"$out/peers.txt" || status=1
        [ -z "$compiles" ] || rival "$work" compiled $step_seconds >>"$out/peers.txt" || status=1
    done
    cat "$out/peers.txt" >>"$lines"
    verdict=$(awk -f bench/gpu_table.awk -v table=verdict -v works="$(wc -w <<<"$works")" "$out/peers.txt") || status=1
    [ -z "$compiles" ] || compiles="eager and compiled"
    reason "PyTorch $version, ${compiles:-eager alone, it has no torch.compile}: $verdict"
    return $status
}

# ---- all of them ----

if [ -n "$one" ]; then
    "part_$1"
    exit
fi

# Seconds that a part is sure of, of the 590 there are. What earlier ones left over, the next one may use.
sure() { # PART
    case $1 in tests) echo 150 ;; numbers) echo 75 ;; split) echo 60 ;; sanitizer) echo 120 ;; kernels) echo 50 ;; *) echo 135 ;; esac
}

limit() { # PART
    local part rest=$((590 - SECONDS)) later=
    for part in "${parts[@]}"; do
        [ -z "$later" ] || rest=$((rest - $(sure "$part")))
        [ "$part" != "$1" ] || later=1
    done
    echo $((rest > 1 ? rest : 1))
}

run_part() { # PART
    local part=$1 seconds status start=$SECONDS said
    seconds=$(limit "$part")
    echo "== $part"
    rm -f "$out/reason"
    timeout -k 5 "$seconds" "$0" ${emulated:+--emulated} --part "$part" >"$out/$part.log" 2>&1 &
    running=$!
    wait $running
    status=$?
    running=
    said=$(cat "$out/reason" 2>/dev/null)
    case $status in
    0) result=ok ;;
    77) result=skipped ;;
    124 | 137) result=FAIL said="not done in its $seconds s" ;;
    *) result=FAIL ;;
    esac
    [ $result != FAIL ] || tail -n 40 "$out/$part.log"
    printf '%4s %s (%d s)%s\n' "$result" "$part" $((SECONDS - start)) "${said:+: $said}"
    echo "| $part | $result | $((SECONDS - start)) | ${said:-} |" >>"$out/parts.txt"
    [ $result != FAIL ]
}

machine() { # the doctor's lines, in one
    local driver
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
    "$engine" doctor | awk -v driver="${driver:-$(head -c 60 /etc/nv_tegra_release 2>/dev/null)}" '
        /^GPU +0/ {sub(/^GPU +0 +/, ""); gpu = $0}
        /^CUDA/ {sub(/^CUDA +/, ""); cuda = $0}
        /^cuDNN/ {sub(/^cuDNN +/, ""); cudnn = $0}
        END {print gpu "; driver " (driver ? driver : "unknown") "; CUDA: " cuda "; cuDNN " cudnn}'
}

summary() {
    echo "## On a GPU: $(machine)"
    echo
    echo "\`make gpu-check\`${emulated:+ (emulated: no figure here means anything)}, $(date +%F)," \
        "$(git describe --always --dirty 2>/dev/null), $SECONDS s."
    echo
    echo "| part | result | seconds | what was seen |"
    echo "|---|---|---|---|"
    cat "$out/parts.txt"
    awk -f bench/gpu_table.awk -v table=all "$lines"
}

[ -x "$engine" ] || { echo "there is no $engine: make ${emulated:+MODE=emu }build tests benches" >&2 && exit 1; }
doctor=$($engine doctor) || { echo "FAIL doctor" && exit 1; }
if ! grep -qE '^GPU +[0-9]' <<<"$doctor"; then
    echo "no GPU here: $(sed -n 's/^GPU *none: //p' <<<"$doctor")"
    exit 77
fi
[ $# -gt 0 ] || read -ra parts <<<"$all_parts"
[ $# = 0 ] || parts=("$@")
for part in "${parts[@]}"; do
    [[ " $all_parts " == *" $part "* ]] || { echo "no part \"$part\": there are $all_parts" >&2 && exit 2; }
done
rm -rf "$out"
mkdir -p "$out/data" && : >"$lines" && : >"$out/parts.txt" || exit 1
grep -E '^(GPU|CUDA|cuDNN)' <<<"$doctor"
printf '{"machine":"%s","commit":"%s"}\n' "$(machine)" "$(git describe --always --dirty 2>/dev/null)" >>"$lines"

# What runs is in groups of its own, where an interrupt does not reach it.
ahead='' running=''
end_all() {
    [ -z "$running" ] || kill "$running" 2>/dev/null
    [ -z "$ahead" ] || kill -- -"$ahead" 2>/dev/null
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [[ -z "$emulated" && " ${parts[*]} " == *" tests "*" peers "* && $(torch_there) == *compiled ]]; then
    set -m # a group of its own, to be ended as one
    compile_ahead &
    ahead=$!
    set +m
fi
failed=0
for part in "${parts[@]}"; do
    if [[ -n "$ahead" && $part != tests && $part != numbers && $part != sanitizer ]]; then
        kill -- -"$ahead" 2>/dev/null # from here on times count
        wait "$ahead" 2>/dev/null
        ahead=
    fi
    run_part "$part" || failed=1
done
summary | tee "$out/summary.md"
echo "lines: ${lines#"$PWD"/}, this summary: ${out#"$PWD"/}/summary.md"
printf '%d ok, %d failed, %d skipped\n' "$(grep -c '| ok |' "$out/parts.txt")" "$(grep -c '| FAIL |' "$out/parts.txt")" \
    "$(grep -c '| skipped |' "$out/parts.txt")"
exit $failed
