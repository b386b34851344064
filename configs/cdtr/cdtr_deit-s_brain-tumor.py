# CDTR, DeiT-S/16 at 224 on MRI for Brain Tumor (Table XIV). The authors give no settings for it: those of CUB. An image
# may have several boxes: any of them counts.
_base_ = ['./cdtr_deit-s_cub.py']
model = dict(
    head=dict(num_classes=4, map_losses=dict(loss_sba=dict(text_embeddings='data/clip/brain-tumor_vit-b-32.pt'))))
train_dataloader = dict(dataset=dict(type='mmwsol.BrainTumor', data_root='data/BrainTumor'))
val_dataloader = dict(dataset=dict(type='mmwsol.BrainTumor', data_root='data/BrainTumor', split='val'))
test_dataloader = dict(dataset=dict(type='mmwsol.BrainTumor', data_root='data/BrainTumor', split='val'))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, ), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='cdtr', gt_mode='any', topk=(1, )),
    dict(type='mmwsol.LocAccuracy', protocol='cdtr', gt_mode='any', map_class='gt', prefix='loc_gt_class', topk=(1, )),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short'),
    dict(type='mmwsol.LocBaselines', protocol='cdtr'),
]
test_evaluator = val_evaluator
