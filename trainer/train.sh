#!/bin/sh
# Trains models/scenes again: less than two hours on two cores. Stages can be stopped and go on from their last save:
# every stage starts from the state file of the one before. See docs/scenes.md.
set -eu
cd "$(dirname "$0")/.."
OUT=${1:-trainer/target/training}
JAVA=${JAVA_HOME:+$JAVA_HOME/bin/}java
mkdir -p "$OUT"
mvn -q -pl trainer -am -DskipTests package dependency:build-classpath \
    -Dmdep.outputFile=target/classpath.txt -Dmdep.includeScope=runtime

# One thread per worker; and memory of a step is kept for the next instead of going back to the system.
export OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184
export OPT_OUT_TRACKING=true

trainer() {
    "$JAVA" -Xmx2g --enable-native-access=ALL-UNNAMED -Djava.awt.headless=true -Dai.djl.offline=true \
        -Dai.djl.pytorch.num_threads=1 -cp "trainer/target/classes:$(cat trainer/target/classpath.txt)" \
        io.epidote.trainer.TrainerMain "$@"
}
stage() {
    trainer train --state "$OUT/state.safetensors" --log "$OUT/log.txt" --workers 2 "$@"
}

stage --stage tower --steps 800  --rate 2e-3 --final-rate 3e-4 --warmup 50 --seed 1
stage --stage small --steps 1400 --rate 1e-3 --final-rate 9e-4 --warmup 50 --seed 4
stage --stage mixed --steps 1600 --rate 8e-4 --final-rate 7e-4 --warmup 25 --seed 6
stage --stage mixed --steps 1900 --rate 8e-4 --final-rate 8e-5 --warmup 25 --seed 7 --freeze-tower true
stage --stage final --steps 2400 --rate 6e-4 --final-rate 5e-6 --warmup 25 --seed 8 --freeze-tower true
trainer refine --state "$OUT/state.safetensors"
stage --stage final --steps 1700 --rate 7e-4 --final-rate 4e-6 --warmup 10 --seed 22 --freeze-tower true
stage --stage forms --steps 2200 --rate 9e-4 --final-rate 4e-6 --warmup 10 --seed 32 --freeze-tower true
trainer export --state "$OUT/state.safetensors" --folder "$OUT/scenes"
trainer spread --folder "$OUT/scenes"
trainer evaluate --folder "$OUT/scenes" --count 500 --seed 7
trainer curve --log "$OUT/log.txt" --svg "$OUT/curve.svg"
