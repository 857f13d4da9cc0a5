package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.cli.chaos.FaultKind;
import io.epidote.cli.chaos.NodeMachine;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** Faults in small: whatever is done to a cluster, whoever was accepted gets exactly its answer. */
class ChaosTest {
  @Test
  void nodesAreKilledOneByOneAndAllOfAStage() throws Exception {
    JsonNode figures =
        survived(
                "--faults",
                "kill:decode@1s,kill:prefill@6s,kill:encode@11s,stage:decode@14s",
                "--for",
                "17s",
                "--cancel",
                "20%")
            .path("figures");
    assertThat(figures.path("faults").asInt()).isEqualTo(4);
    assertThat(figures.path("cancelled").asInt()).isPositive();
  }

  @Test
  void nodesStandStillAreCutOffAndGetFlippedBits() throws Exception {
    survived(
        "--faults",
        "corrupt:prefill*/by=3%,corrupt:encode*/by=3%,stop:decode@1s/for=4s,stop:prefill@3s/for=4s,partition:decode*~prefill-0@9s/for=3s,partition:router~decode-0@13s/for=3s",
        "--for",
        "17s");
  }

  @Test
  void theNetworkLosesAndDelays() throws Exception {
    assumeTrue(
        "root".equals(System.getProperty("user.name"))
            && Files.isWritable(Path.of("/dev/net/tun"))
            && Files.isExecutable(Path.of("/usr/sbin/ip")),
        "hosts of their own need root, TUN and iproute2");
    survived(
        "--hosts",
        "--faults",
        "loss:5%,delay:200ms,partition:decode~prefill@3s/for=2s",
        "--for",
        "6s",
        "--rate",
        "2");
    if (Files.isDirectory(Path.of("/run/netns"))) {
      String own = "epidote-" + ProcessHandle.current().pid() + "-";
      try (var names = Files.list(Path.of("/run/netns"))) {
        assertThat(names.map(name -> name.getFileName().toString()))
            .noneMatch(name -> name.startsWith(own));
      }
    }
  }

  /** A minute that not every build has to wait for. */
  @Test
  @EnabledIfSystemProperty(named = "epidote.chaos.machine", matches = "true")
  void disksAreFullAndMemoryIsShort() throws Exception {
    assumeTrue(
        NodeMachine.does(FaultKind.DISK) && NodeMachine.does(FaultKind.MEMORY),
        "disks and memory of their own need root and control groups");
    JsonNode report =
        survived(
            "--faults",
            "disk:prefill@1s/for=3s,memory:decode@5s/for=5s/by=5%,rlimit:encode@3s/for=5s",
            "--for",
            "10s");
    assertThat(note(report, "disk")).contains("no other role", "make room there");
    assertThat(note(report, "memory")).contains("at most", "status 137");
    assertThat(note(report, "rlimit")).contains("at most");
    try (var mounts = Files.lines(Path.of("/proc/self/mounts"))) {
      String own = "epidote-disk-" + ProcessHandle.current().pid() + "-";
      assertThat(mounts).noneMatch(line -> line.startsWith(own));
    }
  }

  private static String note(JsonNode report, String fault) {
    for (JsonNode row : report.path("rows")) {
      if (row.path("fault").asText().equals(fault)) {
        return row.path("note").asText();
      }
    }
    throw new AssertionError("No row of %s in %s".formatted(fault, report));
  }

  /**
   * A load in which nothing but time goes by and callers leave whenever they like. Between the
   * middle of the second quarter and that of the last one 200 requests come: if each left a file, a
   * thread or 100 KiB behind, that were several times what is allowed for requests at work, buffers
   * and pools that still grow.
   */
  @Test
  void whatProcessesHoldStaysTheSame() throws Exception {
    JsonNode report =
        survived(
            "--schedule",
            "none",
            "--nodes",
            "E,P,D",
            "--engine",
            "emulated",
            "--profile",
            "tile_ms:1,prefill_step_ms:1,prompt_token_ms:0.01,decode_step_ms:1",
            "--for",
            "20s",
            "--rate",
            "20",
            "--cancel",
            "40%");
    JsonNode figures = report.path("figures");
    assertThat(figures.path("cancelled").asInt()).isGreaterThan(80);
    assertThat(figures.path("heap_growth_mib").asDouble(99)).as("heap: %s", report).isLessThan(10);
    assertThat(figures.path("direct_growth_mib").asDouble(99))
        .as("direct memory: %s", report)
        .isLessThan(10);
    assertThat(figures.path("fds_growth").asDouble(99)).as("files: %s", report).isLessThan(40);
    assertThat(figures.path("threads_growth").asDouble(99))
        .as("threads: %s", report)
        .isLessThan(40);
  }

  private static JsonNode survived(String... arguments) throws Exception {
    List<String> command =
        new ArrayList<>(List.of("chaos", "--distinct=12", "--timeout=40s", "--json"));
    command.addAll(List.of(arguments));
    if (!command.contains("--rate")) {
      command.addAll(List.of("--rate", "5"));
    }
    JsonNode report = new ObjectMapper().readTree(run(command));
    JsonNode figures = report.path("figures");
    assertThat(figures.path("accepted").asInt()).as("accepted").isPositive();
    for (String bad : List.of("wrong", "failed", "hung", "accounts_nonzero")) {
      assertThat(figures.path(bad).asInt()).as("%s in %s", bad, report).isZero();
    }
    assertThat(figures.path("completed_exact").asInt())
        .as("exact of accepted in %s", report)
        .isEqualTo(figures.path("accepted").asInt());
    return report;
  }

  private static String run(List<String> command) {
    PrintStream out = System.out;
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    try {
      assertThat(EpidoteCommand.commandLine("chaos").execute(command.toArray(String[]::new)))
          .isZero();
    } finally {
      System.setOut(out);
    }
    return printed.toString(StandardCharsets.UTF_8);
  }
}
