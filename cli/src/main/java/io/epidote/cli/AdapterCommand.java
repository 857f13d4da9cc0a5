package io.epidote.cli;

import static java.util.Objects.requireNonNull;

import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.ListAdaptersResponse;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.NodeAdapters;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "adapter",
    description = "Loads, unloads and lists adapters (ESFT experts, LoRA) of a running cluster.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote adapter load french models/scenes-adapters/french",
      "  epidote ask --model scenes:french --image cat.png \"describe the picture.\"",
      "  epidote adapter list --json",
      "  epidote adapter unload french"
    },
    subcommands = {
      AdapterCommand.Load.class,
      AdapterCommand.Unload.class,
      AdapterCommand.All.class
    })
final class AdapterCommand implements Runnable {
  @Spec private @Nullable CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(requireNonNull(spec).commandLine(), "Name a command");
  }

  /** Where the cluster is. */
  static final class AdminAddress {
    @Option(
        names = "--admin",
        paramLabel = "HOST:PORT",
        description =
            "Where the router has its --admin-port, or a node its port. Default: ${DEFAULT-VALUE}.")
    String address = "localhost:8002";

    @Mixin ConnectionOptions connection = new ConnectionOptions();

    InferenceClient open() {
      return new InferenceClient(address, connection);
    }
  }

  @Command(
      name = "load",
      description =
          "Loads an adapter on all nodes that prefill or decode; requests name it as MODEL:NAME. One that does not fit changes nothing.",
      mixinStandardHelpOptions = true)
  static final class Load implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "NAME", description = "What requests name it.")
    private String name = "";

    @Parameters(
        index = "1",
        paramLabel = "DIR",
        description =
            "Its folder, as the nodes see it, in one of their --adapter-root: expert_cfg.json (ESFT) or adapter_config.json (PEFT's LoRA), and safetensors.")
    private Path folder = Path.of("");

    @Option(
        names = "--replace",
        description =
            "Take the place of the adapter of that name; requests that run on it finish on it.")
    private boolean replace;

    @Mixin private AdminAddress admin = new AdminAddress();

    @Override
    public Integer call() {
      try (InferenceClient client = admin.open()) {
        print(
            client
                .loadAdapter(
                    LoadAdapterRequest.newBuilder()
                        .setName(name)
                        .setFolder(folder.toAbsolutePath().normalize().toString())
                        .setReplace(replace)
                        .build())
                .getNodesList(),
            System.out);
      }
      return 0;
    }
  }

  @Command(
      name = "unload",
      description =
          "Lets no request begin on an adapter any more; its memory is free when those that run have ended.",
      mixinStandardHelpOptions = true)
  static final class Unload implements Callable<Integer> {
    @Parameters(paramLabel = "NAME", description = "Of the adapter.")
    private String name = "";

    @Mixin private AdminAddress admin = new AdminAddress();

    @Override
    public Integer call() {
      try (InferenceClient client = admin.open()) {
        client.unloadAdapter(name);
        System.out.println(name + " is unloaded.");
      }
      return 0;
    }
  }

  @Command(
      name = "list",
      description = "Shows the adapters of every node that prefills or decodes.",
      mixinStandardHelpOptions = true)
  static final class All implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Mixin private AdminAddress admin = new AdminAddress();

    @Override
    public Integer call() {
      try (InferenceClient client = admin.open()) {
        ListAdaptersResponse all = client.listAdapters();
        if (json) {
          report(all).print(System.out);
        } else {
          print(all.getNodesList(), System.out);
        }
      }
      return 0;
    }

    private static Report report(ListAdaptersResponse all) {
      Report report =
          new Report("adapter list")
              .figure(
                  "adapters",
                  all.getNodesList().stream()
                      .flatMap(node -> node.getAdaptersList().stream())
                      .map(AdapterStatus::getName)
                      .distinct()
                      .count());
      for (NodeAdapters node : all.getNodesList()) {
        for (AdapterStatus adapter : node.getAdaptersList()) {
          Map<String, Object> row = new LinkedHashMap<>();
          row.put("node", node.getNodeId());
          row.put("name", adapter.getName());
          row.put("kind", adapter.getKind());
          row.put("digest", adapter.getDigest());
          row.put("generation", adapter.getGeneration());
          row.put("bytes", adapter.getBytes());
          row.put("tier", adapter.getTier());
          row.put("requests", adapter.getRequests());
          report.row(row);
        }
      }
      return report;
    }
  }

  private static void print(List<NodeAdapters> nodes, PrintStream out) {
    out.printf(
        Locale.ROOT,
        "%-10s %-24s %-5s %-12s %10s %10s %-5s %8s%n",
        "node",
        "adapter",
        "kind",
        "digest",
        "generation",
        "bytes",
        "tier",
        "requests");
    for (NodeAdapters node : nodes) {
      for (AdapterStatus adapter : node.getAdaptersList()) {
        out.printf(
            Locale.ROOT,
            "%-10s %-24s %-5s %-12.12s %10d %10s %-5s %8d%n",
            node.getNodeId(),
            adapter.getName(),
            adapter.getKind(),
            adapter.getDigest(),
            adapter.getGeneration(),
            Bytes.words(adapter.getBytes()),
            adapter.getTier(),
            adapter.getRequests());
      }
    }
  }
}
