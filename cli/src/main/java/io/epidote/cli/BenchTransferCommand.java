package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.transfer.TransferOptions;
import io.epidote.node.transfer.WireForm;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "transfer",
    description = {
      "Measures pulls of KV blocks between nodes over loopback: goodput beside plain TCP of Java NIO that moves",
      "the same blocks, allocation on the heap, and small messages while bulk runs. Medians of interleaved rounds."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench transfer --json",
      "  epidote bench transfer --chunk 256KiB --part 24KiB"
    })
final class BenchTransferCommand implements Callable<Integer> {
  private static final int RAW_CALL_BYTES = 1 << 20;
  private static final List<Integer> CHUNKS = List.of(256 << 10, 1 << 20, 4 << 20);

  /** Pulls that make one measurement. */
  private static final int PULLS = 4;

  private static final double MICRO = 1e3;

  @Option(
      names = "--chunk",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "Bytes of a chunk, 256KiB to 4MiB. Default: 1MiB.")
  private Bytes chunk = new Bytes(TransferOptions.DEFAULT_CHUNK_BYTES);

  @Option(
      names = "--part",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description =
          "Bytes of a KV block in one layer; 128KiB (default) is that of 8 KV heads of 128, 24KiB that of smollm2-135m.")
  private Bytes part = new Bytes(128 << 10);

  @Option(
      names = "--bytes",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "Bytes behind a handle. Default: 64MiB.")
  private Bytes bytes = new Bytes(64 << 20);

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Measurements of each figure. Default: ${DEFAULT-VALUE}.")
  private int rounds = 11;

  @Option(
      names = "--messages",
      paramLabel = "N",
      description = "Small messages of a measurement. Default: ${DEFAULT-VALUE}.")
  private int messages = 500;

  @Option(
      names = "--warm-up",
      paramLabel = "SECONDS",
      description =
          "How long to move bytes before measuring: on few cores the JVM compiles for a while. Default: ${DEFAULT-VALUE}.")
  private int warmUp = 20;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  /** Heads as most small models have them. */
  private static final WireForm INT8 = new WireForm.Int8Kv(64, 64);

  private final Samples samples = new Samples();

  @Override
  public Integer call() {
    if (rounds < 1 || messages < 100 || warmUp < 0) {
      throw new InvalidRequest("--rounds must be at least 1, --messages 100, --warm-up 0");
    }
    if (part.value() < 1 || part.value() > 64 << 20 || bytes.value() < 16 * part.value()) {
      throw new InvalidRequest("--part must be 1B to 64MiB, --bytes at least 16 times --part");
    }
    try (Progress progress = new Progress()) {
      try (TransferBench bench = bench()) {
        progress.update("warming up");
        long start = System.nanoTime();
        do {
          round(bench);
        } while (System.nanoTime() - start < Duration.ofSeconds(warmUp).toNanos());
        samples.forget();
        for (int round = 0; round < rounds; round++) {
          progress.update("round %d of %d".formatted(round + 1, rounds));
          round(bench);
        }
      }
      // Nodes of their own: every node in a process takes its time now and then.
      try (TransferBench bench = bench()) {
        bench.smallMessages(messages);
        for (int round = 0; round < Math.min(rounds, 5); round++) {
          progress.update("small messages %d".formatted(round + 1));
          messages(bench);
        }
      }
    }
    Report report = report();
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private TransferBench bench() {
    return new TransferBench(bytes.value(), (int) part.value());
  }

  private TransferOptions options(boolean checksum, boolean unix) {
    return new TransferOptions((int) chunk.value(), checksum, unix);
  }

  private void round(TransferBench bench) {
    double raw = bench.raw(RAW_CALL_BYTES, PULLS);
    samples.add("raw_tcp_gb_s", raw);
    goodput(bench, "tcp", options(false, false), raw);
    goodput(bench, "tcp_checksum", options(true, false), raw);
    goodput(bench, "unix", options(false, true), raw);
    goodput(bench, "unix_checksum", options(true, true), raw);
    if (INT8.fits(part.value())) {
      double int8 = bench.pull(options(true, false), INT8, PULLS);
      samples.add("int8_kv_gb_s", int8);
    }
    for (int bytes : CHUNKS) {
      goodput(bench, chunkName(bytes), new TransferOptions(bytes, true, false), raw);
    }
    samples.add("heap_kib_per_mib", bench.heapKibPerMib(options(true, false), 1));
  }

  private void goodput(TransferBench bench, String name, TransferOptions options, double raw) {
    double goodput = bench.pull(options, PULLS);
    samples.add(name, goodput);
    samples.add(name + "_of_raw", goodput / raw);
  }

  private static String chunkName(int bytes) {
    return "chunk_" + bytes;
  }

  private void messages(TransferBench bench) {
    double idle = latency("idle", bench.smallMessages(messages));
    // As nodes of one machine pull, and as nodes of several do.
    double bulk = latency("bulk", bench.smallMessagesUnderBulk(options(true, true), messages));
    double tcp = latency("bulk_tcp", bench.smallMessagesUnderBulk(options(true, false), messages));
    samples.add("small_message_p99_ratio", bulk / idle);
    samples.add("small_message_p99_ratio_tcp", tcp / idle);
  }

  /** Adds the median and returns the 99th percentile. */
  private double latency(String when, long[] nanos) {
    samples.add("small_message_%s_p50_us".formatted(when), at(nanos, 0.5));
    samples.add("small_message_%s_p99_us".formatted(when), at(nanos, 0.99));
    return at(nanos, 0.99);
  }

  private static double at(long[] ascending, double quantile) {
    return ascending[(int) Math.min(ascending.length - 1L, Math.round(quantile * ascending.length))]
        / MICRO;
  }

  private Report report() {
    Report report =
        new Report("bench transfer")
            .figure("goodput_of_raw_tcp", rounded("tcp_of_raw"))
            .figure("goodput_of_raw_tcp_checksum", rounded("tcp_checksum_of_raw"))
            .figure("goodput_of_raw_tcp_unix", rounded("unix_of_raw"))
            .figure("goodput_of_raw_tcp_unix_checksum", rounded("unix_checksum_of_raw"))
            .figure("heap_kib_per_mib", rounded("heap_kib_per_mib"))
            .figure("small_message_p99_ratio", rounded("small_message_p99_ratio"))
            .figure("small_message_p99_ratio_tcp", rounded("small_message_p99_ratio_tcp"))
            .figure("raw_tcp_gb_s", rounded("raw_tcp_gb_s"))
            .figure("tcp_gb_s", rounded("tcp"))
            .figure("tcp_checksum_gb_s", rounded("tcp_checksum"))
            .figure("unix_gb_s", rounded("unix"))
            .figure("unix_checksum_gb_s", rounded("unix_checksum"));
    if (INT8.fits(part.value())) {
      report
          .figure(
              "int8_kv_bytes_of_exact",
              Report.rounded((double) INT8.wireBytes(part.value()) / part.value()))
          .figure("int8_kv_gb_s", rounded("int8_kv_gb_s"));
    }
    for (String when : List.of("idle", "bulk", "bulk_tcp")) {
      for (String quantile : List.of("p50", "p99")) {
        String name = "small_message_%s_%s_us".formatted(when, quantile);
        report.figure(name, rounded(name));
      }
    }
    for (int bytes : CHUNKS) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("chunk_kib", bytes >> 10);
      row.put("tcp_checksum_gb_s", rounded(chunkName(bytes)));
      row.put("goodput_of_raw_tcp_checksum", rounded(chunkName(bytes) + "_of_raw"));
      report.row(row);
    }
    return report;
  }

  private double rounded(String name) {
    return Report.rounded(samples.median(name));
  }
}
