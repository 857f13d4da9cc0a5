package io.epidote.engine.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.kernel.ReadingOrder.Matrix;
import java.util.List;
import org.junit.jupiter.api.Test;

final class ReadingOrderTest {
  private static final Matrix FIRST = new Matrix(1000, 30, 10);
  private static final Matrix SECOND = new Matrix(2000, 18, 10);
  private static final Matrix HEAD = new Matrix(3000, 96, 20);

  private final ReadingOrder order = new ReadingOrder();

  @Test
  void whatFollowsIsKnownFromTheStepBefore() {
    assertThat(step()).containsExactly(Matrix.NONE, Matrix.NONE, Matrix.NONE);
    assertThat(step()).containsExactly(SECOND, HEAD, FIRST);
    assertThat(step()).containsExactly(SECOND, HEAD, FIRST);
  }

  /** A step without logits reads no head. */
  @Test
  void anotherOrderIsLearnedAsWell() {
    step();
    order.after(FIRST);
    order.after(SECOND);
    order.after(FIRST);
    assertThat(order.after(SECOND)).isEqualTo(FIRST);
  }

  @Test
  void everyWorkerBeginsWithItsOwnRun() {
    assertThat(FIRST.start(0, 2)).isEqualTo(1000);
    assertThat(FIRST.start(1, 2)).isEqualTo(1150);
    assertThat(FIRST.start(2, 2)).isEqualTo(1300);
    assertThat(Matrix.NONE.start(1, 2)).isZero();
  }

  private List<Matrix> step() {
    return List.of(order.after(FIRST), order.after(SECOND), order.after(HEAD));
  }
}
