# SAT, DeiT-S on ILSVRC, Table 8 (e): 81 % of the parameters are frozen. The paper lists position embedding, "projection",
# blocks 0 to 8 and the MLPs of the last three; its 81 % is met when every "proj" counts, the attentions' too
# (inferred).
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(
    frozen=[
        'backbone.pos_embed',
        'backbone.*proj*',
        'backbone.layers.[0-8].*',
        'backbone.layers.9.ffn.*',
        'backbone.layers.1[01].ffn.*',
    ])
