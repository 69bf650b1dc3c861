# JSON lines of the benches on a GPU -> what scripts/gpu_check.sh tells of them, as SPEED.md's tables. -v table=
#   all      training and inference beside PyTorch; kernels beside the card's ceiling
#   verdict  one clause on PyTorch; fails where the engine is slower than PyTorch's best, or of `works` one is missing
#   split    one clause on bench_split.sh's lines; fails below `least` of all-in-one with as many micro-batches
function text(key,   t) {
    if (!match($0, "\"" key "\": *\"[^\"]*\""))
        return ""
    t = substr($0, RSTART, RLENGTH)
    sub(/^"[^"]*": *"/, "", t)
    return substr(t, 1, length(t) - 1)
}
function number(key,   t) {
    if (!match($0, "\"" key "\": *[-+0-9.e]+"))
        return ""
    t = substr($0, RSTART, RLENGTH)
    sub(/.*: */, "", t)
    return t + 0
}
function best(work) { # PyTorch's
    if (!(compiled[work] > 0))
        return eager[work] + 0
    return eager[work] > 0 && eager[work] < compiled[work] ? eager[work] : compiled[work]
}
function cell(value) {
    return value == "" ? "" : sprintf("%.4g", value)
}

/"median_ms"/ {
    work = text("model") " " text("bench") " " number("batch")
    if (!(work in seen))
        order[++works_seen] = work
    seen[work] = 1
    if (text("torch") == "")
        engine[work] = number("median_ms")
    else if (text("mode") == "compiled")
        compiled[work] = number("median_ms")
    else
        eager[work] = number("median_ms")
}
/"ratio"/ {
    moves = number("tflops") == "" # memory alone
    algo = text("algo") == "" || text("algo") == "own" ? "" : ", " text("algo")
    algo = algo (text("math") == "" || text("math") == "fp32" ? "" : ", " text("math"))
    kernels = kernels sprintf("| %s%s | %s | %s | %s | %.0f %% |\n", text("bench"), algo, cell(number("ms")), \
        (moves ? cell(number("gbps")) " GB/s" : cell(number("tflops")) " TFLOP/s"), \
        (moves ? cell(number("ceiling_gbps")) " GB/s" : cell(number("peak_tflops")) " TFLOP/s"), 100 * number("ratio"))
}
/"bench":"split train/ {
    split(text("bench"), word, " ")
    speed[word[4]] = number("samples_per_s")
    model = word[3]
}

END {
    if (table == "all" && works_seen) {
        print "\n| work, batch | engine, ms | PyTorch eager, ms | compiled, ms | PyTorch's best / engine |\n|---|---|---|---|---|"
        for (i = 1; i <= works_seen; i++) {
            w = order[i]
            printf "| %s | %s | %s | %s | %s |\n", w, cell(engine[w]), cell(eager[w]), cell(compiled[w]), \
                (engine[w] > 0 && best(w) > 0 ? sprintf("%.2f", best(w) / engine[w]) : "")
        }
    }
    if (table == "all" && kernels != "")
        printf "\n| kernel | ms | reached | ceiling | of it, at best |\n|---|---|---|---|---|\n%s", kernels
    if (table == "verdict") {
        for (i = 1; i <= works_seen; i++) {
            w = order[i]
            if (!(engine[w] > 0 && best(w) > 0))
                continue
            measured++
            if (best(w) < engine[w])
                slower = slower sprintf("; %s %.2f times as fast", w, best(w) / engine[w])
        }
        printf "%d of %d works measured, %s\n", measured, works, \
            slower == "" ? "none slower than PyTorch" : "slower:" substr(slower, 2)
        exit slower != "" || measured != works || !works
    }
    if (table == "split") {
        if (!(speed["aio"] > 0 && speed["aio-micro"] > 0 && speed["client-final"] > 0)) {
            print "a suite is missing"
            exit 1
        }
        same = speed["client-final"] / speed["aio-micro"]
        printf "%s over two processes with K = 4: %.2f of all-in-one with K = 4, %.2f of it with K = 1\n", model, same, \
            speed["client-final"] / speed["aio"]
        exit same < least
    }
}
