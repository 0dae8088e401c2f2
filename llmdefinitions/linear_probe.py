"""Sonda linear: um classificador simples sobre vetores prontos, que mede o que eles já dizem da classe."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class LinearProbe:
    """Regressão logística com decaimento de pesos, ajustada por L-BFGS até convergir.

    Parâmetros:
        weight_decay: λ de λ/2·‖W‖², somado à perda média.
        max_iter: iterações do L-BFGS.
    """

    def __init__(self, weight_decay: float = 1e-3, max_iter: int = 60) -> None:
        if not weight_decay > 0:
            raise ValueError(
                f"weight_decay={weight_decay}: esperado um número maior que zero; sem ele, classes que se separam "
                "perfeitamente levam os pesos ao infinito."
            )
        self.weight_decay, self.max_iter = weight_decay, max_iter
        self.weight: Tensor | None = None

    def fit(self, features: Tensor, labels: Tensor) -> LinearProbe:
        """Ajusta aos exemplos e devolve a própria sonda; nada é sorteado.

        Parâmetros:
            features: `(N, D)`.
            labels: classes, inteiros de 0 a C − 1, `(N,)`.

        Erros:
            ValueError: números diferentes de exemplos e rótulos, ou nenhum.
        """
        if len(features) != len(labels) or not len(labels):
            raise ValueError(f"{len(features)} exemplos e {len(labels)} rótulos: esperado o mesmo número, e não zero.")
        n_classes = int(labels.max()) + 1
        weight = torch.zeros(features.shape[1], n_classes, requires_grad=True)
        bias = torch.zeros(n_classes, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=self.max_iter, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(features @ weight + bias, labels)
            loss = loss + self.weight_decay / 2 * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        self.weight, self.bias = weight.detach(), bias.detach()
        return self

    def predict(self, features: Tensor) -> Tensor:
        """Classe de cada exemplo: `(N, D)` → `(N,)`.

        Erros:
            ValueError: a sonda ainda não foi ajustada.
        """
        if self.weight is None:
            raise ValueError("a sonda ainda não foi ajustada: chame fit(features, labels) antes.")
        return (features @ self.weight + self.bias).argmax(dim=-1)

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """Fração dos exemplos classificados como `labels`."""
        return (self.predict(features) == labels).float().mean().item()
