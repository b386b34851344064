# CDTR with SAT's spatial token on ILSVRC2012 (Table XII): its gates take the place of the class token's attention M in
# every loss and in the map; CSM and OCM go on reading the attention. The paper gives no details: these are inferred.
# SAT's own losses can be added, head.map_losses=dict(loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.35),
# loss_norm=dict(type='mmwsol.MapNormalizationLoss')), and head.semantic=False localizes by the gates alone, as SAT
# does.
_base_ = ['./cdtr_deit-s_ilsvrc.py']
model = dict(
    backbone=dict(type='mmwsol.SATViT', num_sqa_blocks=3, tap='cls'),
    head=dict(attn_source='spatial_token'),
    map_to_box=dict(_delete_=True, type='mmwsol.ComponentBox', preset='sat', threshold=0.3))
