package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.VisionEncoder;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.StreamSupport;
import org.assertj.core.data.Percentage;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What {@code model inspect} says is what a node then takes. */
class InspectionTest {
  @TempDir Path folder;

  private static Inspection inspect(Checkpoint checkpoint, long memory) {
    return Inspection.of(checkpoint, memory, 64 << 20, 10 << 20);
  }

  private static JsonNode json(Inspection inspection) throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    inspection.report().print(new PrintStream(out, true, StandardCharsets.UTF_8));
    return new ObjectMapper().readTree(out.toByteArray());
  }

  @ParameterizedTest
  @EnumSource(Precision.class)
  void thePlanIsWhatIsLoaded(Precision precision) {
    try (Checkpoint checkpoint = Checkpoint.open(Home.model("scenes"))) {
      Inspection.Plan plan =
          inspect(checkpoint, 1 << 30).plans().stream()
              .filter(each -> each.precision() == precision)
              .findFirst()
              .orElseThrow();
      Models models = new Models(checkpoint, new RuntimeOptions(1, precision, Home.cache(), true));
      try (Decoder decoder = models.openDecoder();
          VisionEncoder vision = models.openVision()) {
        // Pages between tensors are in the file, too.
        assertThat(plan.decoder().fileBytes())
            .isCloseTo(decoder.weightBytes(), Percentage.withPercentage(10));
        assertThat(plan.decoder().fileBytes()).isLessThanOrEqualTo(decoder.weightBytes());
        assertThat(plan.decoder().copiedBytes())
            .isCloseTo(decoder.memory().weightCopies(), Percentage.withPercentage(25));
        assertThat(plan.vision().orElseThrow().copiedBytes())
            .isCloseTo(vision.memory().weightCopies(), Percentage.withPercentage(25));
      }
      Models mapped = new Models(checkpoint, new RuntimeOptions(1, precision, Home.cache(), false));
      try (Decoder decoder = mapped.openDecoder()) {
        // Experts of this model are less than a page at int4, and then in the graph.
        long inGraph = plan.decoder().graphBytes();
        assertThat(decoder.memory().weightCopies())
            .isLessThan(inGraph + plan.decoder().fileBytes() / 10);
        assertThat(precision == Precision.INT4 || inGraph == 0).isTrue();
      }
    }
  }

  @Test
  void figuresAreTheModels() throws Exception {
    try (Checkpoint checkpoint = Checkpoint.open(Home.model("scenes"))) {
      JsonNode report = json(inspect(checkpoint, 1L << 30));
      JsonNode figures = report.path("figures");
      long elements =
          checkpoint.tensorNames().stream()
              .mapToLong(name -> checkpoint.info(name).elements())
              .sum();
      assertThat(figures.path("parameters").asLong()).isEqualTo(elements);
      long tokenBytes =
          2L
              * Float.BYTES
              * checkpoint.config().text().layers()
              * checkpoint.config().text().kvHeads()
              * checkpoint.config().text().headDim();
      assertThat(figures.path("kv_token_bytes").asLong()).isEqualTo(tokenBytes);
      assertThat(figures.path("kv_cache_tokens").asLong())
          .isCloseTo((64 << 20) / tokenBytes, within(16L));
      assertThat(
              StreamSupport.stream(report.path("rows").spliterator(), false)
                  .filter(row -> row.path("picture").asText().equals("4032x3024"))
                  .map(row -> row.path("media_tokens").asInt() / row.path("tiles").asInt()))
          .containsExactly(checkpoint.config().tileTokens());
    }
  }

  @Test
  void whatDoesNotFitIsSaid() throws Exception {
    try (Checkpoint checkpoint = Checkpoint.open(Home.model("scenes"))) {
      JsonNode rows = json(inspect(checkpoint, 64 << 20)).path("rows");
      assertThat(
              StreamSupport.stream(rows.spliterator(), false)
                  .filter(row -> row.has("fits"))
                  .map(row -> row.path("fits").asBoolean()))
          .hasSize(6)
          .containsOnly(false);
    }
  }

  /** Before any weight is read: there are none here. */
  @Test
  void anUnsupportedConfigIsNamed() throws Exception {
    Files.writeString(folder.resolve("config.json"), "{\"model_type\": \"mamba\"}");
    StringWriter err = new StringWriter();
    int status =
        EpidoteCommand.commandLine()
            .setErr(new PrintWriter(err, true))
            .execute("model", "inspect", folder.toString());
    assertThat(status).isEqualTo(1);
    assertThat(err.toString()).contains("model_type", "mamba").doesNotContain("safetensors");
  }
}
