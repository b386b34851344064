# CDTR with SAT's own maps (Table XII) on CUB-200-2011: the gates of SAT's spatial token take the place of the class
# token's attention M in every loss, and are the map, boxed as SAT does. Neither code nor details are published: all of
# it is inferred. CSM and OCM go on reading the attention. Gates start at 0.5 and M at 6 / 197: map_scale gives them its
# size, for which the losses were weighted.
_base_ = ['./cdtr_deit-s_cub.py']
model = dict(
    backbone=dict(type='mmwsol.SATViT', num_sqa_blocks=3, tap='cls'),
    head=dict(attn_source='spatial_token', map_scale=12 / 197, semantic=False),
    map_to_box=dict(_delete_=True, type='mmwsol.ComponentBox', preset='sat', threshold=0.4))
