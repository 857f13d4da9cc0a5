package io.epidote.cli;

import com.sun.management.OperatingSystemMXBean;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.node.ResidentMemory;
import java.lang.management.ManagementFactory;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "inspect",
    description = {
      "Says what a model folder holds, what each stage needs of disk and memory at each precision, and",
      "whether it fits. Nothing is converted or loaded: sizes are those of the planned graphs."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote model inspect models/scenes",
      "  epidote model inspect ~/models/mine --memory 8GiB --kv-cache 2GiB",
      "  epidote model inspect smollm2-135m --json"
    })
final class ModelInspectCommand implements Callable<Integer> {
  @Parameters(
      paramLabel = "DIR|SHAPE",
      description =
          "A model folder, or a shape with random weights: smollm2-135m, smolvlm-256m, moe-576x12x16.")
  private String model = "";

  @Option(
      names = "--memory",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "Memory that it should fit. Default: this machine's.")
  private @Nullable Bytes memory;

  @Option(
      names = "--kv-cache",
      paramLabel = "SIZE",
      converter = Bytes.Converter.class,
      description = "KV blocks that a node should have. Default: 64MiB, as a node's.")
  private Bytes kvCache = NodeOptions.KV;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    long process = ResidentMemory.bytes();
    try (Progress progress = new Progress();
        Checkpoint checkpoint = Checkpoint.open(Home.modelOrShape(model, progress))) {
      Inspection inspection =
          Inspection.of(
              checkpoint,
              memory == null ? machineMemory() : memory.value(),
              kvCache.value(),
              process);
      if (json) {
        inspection.report().print(System.out);
      } else {
        inspection.print(System.out);
      }
    }
    return 0;
  }

  /** The machine's, or the container's where that is less. */
  private static long machineMemory() {
    return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
  }
}
