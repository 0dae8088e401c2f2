# Só encaminha: as tarefas moram em ferramentas/tarefas.py, que roda igual no Windows, sem make.
PYTHON ?= python3

# Os dados reais já baixados, quando a pasta vizinha existe: poupam a rede e ligam os testes que os usam.
ifneq ($(wildcard ../shared/dados),)
export LLMDEFINITIONS_ESPELHO ?= $(abspath ../shared/dados)
endif

TAREFAS := ajuda livro testes preparar vendor lint saidas formatar unidade cadernos site navegador testes-site \
           bench reproducao recursos servir configurar limpar limpar-tudo

.DEFAULT_GOAL := ajuda
.NOTPARALLEL:
.PHONY: $(TAREFAS)
$(TAREFAS):
	@$(PYTHON) ferramentas/tarefas.py $@ $(if $(filter configurar,$@),$(if $(REPO),REPO='$(REPO)') $(if $(BRANCH),BRANCH='$(BRANCH)'),$(ARGS))
