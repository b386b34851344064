# Baseline "attention map" of the paper's Table 5: the map is the sigmoid of the class token's attention logits (mean
# over heads), with SAT's losses, but without spatial token and gated attention. Details inferred: there is no code for
# it.
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(backbone=dict(query='class'))
