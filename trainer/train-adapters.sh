#!/bin/sh
# Trains the adapters of models/scenes and the classifier behind scenes:auto; see docs/scenes.md.
# Every adapter can be stopped and goes on from its last save.
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

# Those of which a single answer has much to see take more steps.
for form in french:1200 json:1200 relations:1200 colors:3600 places:3600; do
    steps=${form#*:}
    form=${form%:*}
    trainer adapter --form "$form" --p 0.2 --steps "$steps" --rate 2e-3 --final-rate 2e-5 --warmup 30 --workers 1 \
        --state "$OUT/$form.safetensors" --log "$OUT/adapters.txt" --folder "$OUT/scenes-adapters"
    trainer evaluate-adapter --form "$form" --folder "$OUT/scenes-adapters" --count 500 --seed 7
done
trainer classifier --file "$OUT/scenes-adapters/router.json"
trainer evaluate-classifier --file "$OUT/scenes-adapters/router.json" --count 500 --seed 7
